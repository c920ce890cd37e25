/* What may be asked to be installed, and what is kept from pip. */

#include "pool/requirement.h"

#include "helpers.h"

static const char *parse(const char *text, Requirement *ret_requirement) {
        return requirement_parse(slice_of_text(text), ret_requirement);
}

static void expect_refused(const char *text, const char *part_of_why) {
        Requirement requirement;
        const char *why = parse(text, &requirement);

        if (!why)
                fail_msg("%s passes", text);
        if (!strstr(why, part_of_why))
                fail_msg("%s: \"%s\" does not say \"%s\"", text, why, part_of_why);
}

static Requirement expect_fine(const char *text) {
        Requirement requirement;
        const char *why = parse(text, &requirement);

        if (why)
                fail_msg("%s: %s", text, why);
        return requirement;
}

static void test_names(void **state) {
        assert_string_equal(expect_fine("Ruamel._-yaml").name, "ruamel-yaml");
        assert_string_equal(expect_fine("  a  ").name, "a");
        assert_true(expect_fine(" numpy\t").is_bare);
        assert_int_equal(expect_fine(" numpy ").text.size, 5);
        assert_false(expect_fine("numpy[x]").is_bare);
        assert_false(expect_fine("numpy>1").is_bare);
        assert_false(expect_fine("numpy;python_version>'3'").is_bare);
}

static void test_exact_versions(void **state) {
        assert_true(slice_equals(expect_fine("a==1.0").exact_version, "1.0"));
        assert_true(slice_equals(expect_fine("a == 1!2.0+local.1").exact_version, "1!2.0+local.1"));
        assert_true(slice_equals(expect_fine("a (==1.0)").exact_version, "1.0"));
        assert_int_equal(expect_fine("a==1.*").exact_version.size, 0);
        assert_int_equal(expect_fine("a===1.0").exact_version.size, 0);
        assert_int_equal(expect_fine("a>=1.0").exact_version.size, 0);
        assert_int_equal(expect_fine("a==1.0,!=2").exact_version.size, 0);
        assert_int_equal(expect_fine("a!=2,==1.0").exact_version.size, 0);
        assert_int_equal(expect_fine("a[x]==1.0").exact_version.size, 0);
        assert_int_equal(expect_fine("a==1.0; python_version>'3'").exact_version.size, 0);
}

static void test_the_rest_of_pep_508(void **state) {
        static const char *const fine[] = {
                "a[b]",
                "a[]",
                "a[ b , c-d ] >= 1.0 , < 2",
                "a(>=1.0)",
                "a~=1.4.2",
                "a>=1,",
                "a; python_version < '3.12' and (os_name == \"posix\" or extra == 'x y')",
                "a; platform_machine not in 'x86_64 arm'",
        };

        for (size_t i = 0; i < N_ELEMENTS(fine); i++)
                (void) expect_fine(fine[i]);
}

static void test_what_is_no_name(void **state) {
        expect_refused("", "empty");
        expect_refused(" \t ", "empty");
        expect_refused("--index-url=http://x/", "option");
        expect_refused("-e", "option");
        expect_refused("-r/etc/passwd", "path");
        expect_refused("./a", "path");
        expect_refused("/a", "path");
        expect_refused("a/b", "path");
        expect_refused("..", "does not begin");
        expect_refused("file:///a", "path or an address");
        expect_refused("https://a/b.whl", "address");
        expect_refused("a @ file:///b", "address");
        expect_refused("a@b", "address");
        expect_refused("git+https://a", "no version");
        expect_refused("a.", "does not begin");
        expect_refused(".a", "does not begin");
        expect_refused("a.whl", "file");
        expect_refused("a.ZIP", "file");
        expect_refused("a.tar.gz[b] ; os_name=='x'", "file");
        expect_refused("a==1.zip", "file");
}

static void test_what_cannot_follow(void **state) {
        expect_refused("a b", "no version");
        expect_refused("a --hash=sha256:00", "no version");
        expect_refused("a==1 --pre", "behind a version");
        expect_refused("a==", "without a version");
        expect_refused("a==$HOME", "without a version");
        expect_refused("a=1", "no version");
        expect_refused("a==1;;", "character");
        expect_refused("a;", "nothing behind");
        expect_refused("a; os_name=='x' --hash=sha256:00", "character");
        expect_refused("a; os_name=='x", "too early");
        expect_refused("a; (os_name=='x'", "too early");
        expect_refused("a; os_name=='x')", "too many");
        expect_refused("a; ((((((((((((((((( os_name=='x' )))))))))))))))))", "more than 16");
        expect_refused("a; os_name=='x' # b", "character");
        expect_refused("a; os_name=='x' \\", "character");
        expect_refused("a[b", "extras");
        expect_refused("a[b c]", "extras");
        expect_refused("a[,]", "extras");
        expect_refused("a(>1", "parenthesis");
        expect_refused("a()", "parentheses");
}

static void test_bytes(void **state) {
        Requirement requirement;

        expect_refused("a\nb", "ASCII");
        expect_refused("a\r", "ASCII");
        expect_refused("n\xc3\xbcmpy", "ASCII");
        expect_refused("a\x7f", "ASCII");
        assert_non_null(requirement_parse(SLICE_LITERAL("a\0b"), &requirement));
        assert_non_null(requirement_parse(SLICE_NULL, &requirement));
}

static void test_bounds(void **state) {
        char text[REQUIREMENT_SIZE_MAX + 2];

        memset(text, 'a', sizeof(text));
        text[REQUIREMENT_NAME_MAX] = 0;
        assert_int_equal(strlen(expect_fine(text).name), REQUIREMENT_NAME_MAX);
        text[REQUIREMENT_NAME_MAX] = 'a';
        text[REQUIREMENT_NAME_MAX + 1] = 0;
        expect_refused(text, "128");
        text[REQUIREMENT_NAME_MAX + 1] = 'a';
        text[REQUIREMENT_SIZE_MAX + 1] = 0;
        expect_refused(text, "512");

        (void) memcpy(text, "a==", 3);
        text[3 + VERSION_SIZE_MAX] = 0;
        assert_int_equal(expect_fine(text).exact_version.size, VERSION_SIZE_MAX);
        text[3 + VERSION_SIZE_MAX] = 'a';
        text[3 + VERSION_SIZE_MAX + 1] = 0;
        expect_refused(text, "without a version");
}

static void test_versions(void **state) {
        assert_true(requirement_is_version(SLICE_LITERAL("1!2.0rc1+a.b-c_d")));
        assert_false(requirement_is_version(SLICE_LITERAL("")));
        assert_false(requirement_is_version(SLICE_LITERAL("1.*")));
        assert_false(requirement_is_version(SLICE_LITERAL("1/2")));
        assert_false(requirement_is_version(SLICE_LITERAL("../1")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_exact_versions),
                cmocka_unit_test(test_the_rest_of_pep_508),
                cmocka_unit_test(test_what_is_no_name),
                cmocka_unit_test(test_what_cannot_follow),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_versions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
