/* The routing table: which method and path exist. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/route.h"

typedef struct Case {
        const char *method, *path;
        const char *pattern; /* of the route found; NULL: none */
        bool path_exists;
} Case;

static const Case cases[] = {
        {"GET", "/", "/", true},
        {"GET", "/health", "/health", true},
        {"HEAD", "/health", "/health", true},
        {"POST", "/health", NULL, true},
        {"POST", "/v1/execute", "/v1/execute", true},
        {"GET", "/v1/execute", NULL, true},
        {"HEAD", "/v1/execute", NULL, true},
        {"post", "/v1/execute", NULL, true},
        {"POST", "/v1/batch", "/v1/batch", true},
        {"GET", "/v1/templates", "/v1/templates", true},
        {"GET", "/v1/capabilities", "/v1/capabilities", true},
        {"POST", "/api/execute", "/api/execute", true},
        {"POST", "/execute_code", "/execute_code", true},
        {"GET", "/clear_data", "/clear_data", true},
        {"POST", "/upload_data/prices", "/upload_data/{key}", true},
        {"GET", "/get_data/prices", "/get_data/{key}", true},
        {"DELETE", "/get_data/prices", NULL, true},

        {"GET", "", NULL, false},
        {"GET", "//", NULL, false},
        {"GET", "/nothing", NULL, false},
        {"GET", "/Health", NULL, false},
        {"GET", "//health", NULL, false},
        {"GET", "/health/", NULL, false},
        {"GET", "/health/x", NULL, false},
        {"GET", "/x/../health", NULL, false},
        {"GET", "/healt", NULL, false},
        {"GET", "/healthy", NULL, false},
        {"GET", "health", NULL, false},
        {"GET", "*", NULL, false},
        {"POST", "/upload_data", NULL, false},
        {"POST", "/upload_data/", NULL, false},
        {"POST", "/upload_data/a/b", NULL, false},
        {"POST", "/upload_data/a/", NULL, false},

        {"GET", "/%68ealth", "/health", true},
        {"GET", "/%5f", NULL, false},
        {"POST", "/upload_data/a%5Fb", "/upload_data/{key}", true},
        {"POST", "/upload_data/a%2Fb", NULL, false},
        {"POST", "/upload_data%2fa", NULL, false},
        {"POST", "/v1%2Fexecute", NULL, false},
        {"GET", "%2Fhealth", NULL, false},
        {"GET", "%2f", NULL, false},
        {"PUT", "/v1/sessions%2fs%2ffiles/f", NULL, false},
        {"PUT", "/v1/sessions/s%2Ffiles/f", NULL, false},
        {"PUT", "/v1/sessions/s/files%2Ff", NULL, false},
        {"PUT", "/v1/sessions/s/files/a%2Ff", "/v1/sessions/{id}/files/{path*}", true},
        {"DELETE", "/v1/sessions/s%2Ffiles%2Ff", NULL, false},
};

static void test_cases(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const Case *want = &cases[i];
                bool path_exists;
                const Route *route = route_find(slice_of_text(want->method),
                                                slice_of_text(want->path), &path_exists);

                if (path_exists != want->path_exists)
                        fail_msg("%s %s: path_exists is %d", want->method, want->path, path_exists);
                if (!route != !want->pattern || (route && strcmp(route->path, want->pattern) != 0))
                        fail_msg("%s %s: found %s", want->method, want->path,
                                 route ? route->path : "nothing");
        }
}

static void test_nul_is_no_end(void **state) {
        bool path_exists;

        assert_null(route_find(SLICE_LITERAL("GET"), SLICE_LITERAL("/health\0"), &path_exists));
        assert_false(path_exists);
        assert_null(route_find(SLICE_LITERAL("GET\0"), SLICE_LITERAL("/health"), &path_exists));
        assert_true(path_exists);
}

typedef struct PathCase {
        const char *pattern, *path;
        const char *parameters[ROUTE_PARAMETERS_MAX]; /* "!" in the first: no match */
} PathCase;

static const PathCase path_cases[] = {
        {"/s/{id}", "/s/a", {"a", NULL}},
        {"/s/{id}", "/s/", {"!"}},
        {"/s/{id}", "/s/a/", {"!"}},
        {"/s/{id}/x/{name}", "/s/a/x/b", {"a", "b"}},
        {"/s/{id}/x/{name}", "/s/a/y/b", {"!"}},
        {"/s/{id}/x/{name}", "/s//x/b", {"!"}},
        {"/s/{id}/x/{name}", "/s/a/x/", {"!"}},
        {"/s/{id}/x/{name}", "/s/a/x/b/c", {"!"}},
        {"/s/{id}/files/{path*}", "/s/a/files/b", {"a", "b"}},
        {"/s/{id}/files/{path*}", "/s/a/files/b/c.txt", {"a", "b/c.txt"}},
        {"/s/{id}/files/{path*}", "/s/a/files/b/", {"a", "b/"}},
        {"/s/{id}/files/{path*}", "/s/a/files//", {"a", "/"}},
        {"/s/{id}/files/{path*}", "/s/a/files/../../x", {"a", "../../x"}},
        {"/s/{id}/files/{path*}", "/s/files/files/files", {"files", "files"}},
        {"/s/{id}/files/{path*}", "/s/a/files/", {"!"}},
        {"/s/{id}/files/{path*}", "/s/a/files", {"!"}},
        {"/s/{id}/files/{path*}", "/s/a/b/files/c", {"!"}},
        {"/s/{id}", "/s/%61", {"%61", NULL}},
        {"/s/{id}", "/%73/a", {"a", NULL}},
        {"/s/{id}", "/s%2Fa", {"!"}},
        {"/s/{id}", "/s/%2F", {"!"}},
        {"/s/{id}", "/s/a%2fb", {"!"}},
        {"/s/{id}", "/s/a%252fb", {"a%252fb", NULL}},
        {"/s/{id}", "/s/.", {"!"}},
        {"/s/{id}", "/s/..", {"!"}},
        {"/s/{id}", "/s/%2e", {"!"}},
        {"/s/{id}", "/s/.%2E", {"!"}},
        {"/s/{id}/x", "/s/%2e%2e/x", {"!"}},
        {"/s/{id}", "/s/...", {"...", NULL}},
        {"/s/{id}", "/s/.a", {".a", NULL}},
        {"/s/{id}", "/s/a", {"a", NULL}},
        {"/s/{id}", "/s/a%2", {"!"}},
        {"/s/{id}", "/s/a%", {"!"}},
        {"/s/{id}/files/{path*}", "/s/a/files/%2F", {"a", "%2F"}},
        {"/s/{id}/files/{path*}", "/s/a/files/b%2Fc", {"a", "b%2Fc"}},
        {"/s/{id}/files/{path*}", "/s/a%2Ffiles/b", {"!"}},
        {"/s/{id}/files/{path*}", "/s/a/files%2Fb", {"!"}},
        {"/{all*}", "/", {"!"}},
        {"/{all*}", "/x", {"x", NULL}},
        {"/{all*}", "", {"!"}},
};

static void test_path_matches(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(path_cases); i++) {
                const PathCase *want = &path_cases[i];
                bool wanted = !want->parameters[0] || strcmp(want->parameters[0], "!") != 0;
                Slice got[ROUTE_PARAMETERS_MAX];

                if (route_path_matches(want->pattern, slice_of_text(want->path), got) != wanted)
                        fail_msg("%s %s: %d was wanted", want->pattern, want->path, wanted);
                for (size_t p = 0; p < ROUTE_PARAMETERS_MAX && wanted; p++)
                        if (!slice_equals(got[p], want->parameters[p] ? want->parameters[p] : ""))
                                fail_msg("%s %s: parameter %zu is %.*s", want->pattern, want->path,
                                         p, (int) got[p].size, (const char *) got[p].data);
        }
}

/* NUL and what is not UTF-8 are for the handler to judge. */
static void test_parameters_are_any_bytes(void **state) {
        Slice got[ROUTE_PARAMETERS_MAX];

        assert_true(route_path_matches("/s/{id}/{path*}", SLICE_LITERAL("/s/a\0b/\xff\0/\n"), got));
        assert_int_equal(got[0].size, 3);
        assert_memory_equal(got[0].data, "a\0b", 3);
        assert_int_equal(got[1].size, 4);
        assert_memory_equal(got[1].data, "\xff\0/\n", 4);
}

static const Route *of_target(const char *target) {
        return route_of_target(SLICE_LITERAL("PUT"), slice_of_text(target));
}

/* Which bodies may be large is decided before a request is dispatched, and has to be decided alike.
 */
static void test_targets(void **state) {
        assert_non_null(of_target("/v1/sessions/s/files/a%2Fb?x=%"));
        assert_non_null(of_target("http://host/v1/sessions/s/files/f"));
        assert_null(of_target("/v1/sessions/s%2Ffiles/f"));
        assert_null(of_target("/v1/sessions/s/files/%"));
        assert_null(of_target("/v1/sessions/s/files/%2"));
        assert_null(of_target("/v1/sessions/s/files/%zz"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_nul_is_no_end),
                cmocka_unit_test(test_path_matches),
                cmocka_unit_test(test_parameters_are_any_bytes),
                cmocka_unit_test(test_targets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
