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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_nul_is_no_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
