/* The files of a request: which paths may stand side by side in a workspace, and what is in them.
 */

#include "decode.h"

static void assert_path_refused(const char *path, const char *says) {
        char text[2048];

        (void) snprintf(text, sizeof(text),
                        "{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"content\": \"\"}, "
                        "{\"path\": \"%s\", \"content\": \"\"}]}",
                        path);
        assert_refused(text, 422, "files[1].path", says);
}

static void test_paths(void **state) {
        char component[257] = "", path[1400] = "";

        assert_path_refused("", "empty");
        assert_path_refused("/etc/passwd", "relative");
        assert_path_refused("b//c", "relative");
        assert_path_refused("b/", "relative");
        assert_path_refused("..", "..");
        assert_path_refused("b/../../c", "..");
        assert_path_refused("./b", "\".\"");
        memset(component, 'x', 256);
        assert_path_refused(component, "255");
        for (int i = 0; i < 6; i++)
                (void) snprintf(path + strlen(path), sizeof(path) - strlen(path), "%.200s/",
                                component);
        assert_path_refused(path, "1024");
}

static void test_files_stand_apart(void **state) {
        assert_path_refused("a", "same path");
        assert_path_refused("a/b", "needs a folder");
        assert_refused(
                "{\"code\": \"1\", \"files\": [{\"path\": \"a/b/c\", \"content\": \"\"}, "
                "{\"path\": \"a-b\", \"content\": \"\"},"
                "{\"path\": \"a.b\", \"content\": \"\"}, {\"path\": \"a/b\", \"content\": \"\"}]}",
                422, "files[0].path", "needs a folder");
        assert_accepted("{\"code\": \"1\", \"files\": [{\"path\": \"a/b\", \"content\": \"\"}, "
                        "{\"path\": \"a-b\", \"content\": \"\"},"
                        "{\"path\": \"ab\", \"content\": \"\"}, {\"path\": \"a/bc\", \"content\": "
                        "\"\"}, {\"path\": \"é/…\", \"content\": \"\"}]}");
}

static void test_file_contents(void **state) {
        Case c = accepted("{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"content_base64\": "
                          "\"\\/\\/\\/\\/\"}, {\"path\": \"b\", \"content_base64\": \"\"}]}");

        assert_int_equal(c.request.run.files[0].content.size, 3);
        assert_memory_equal(c.request.run.files[0].content.data, "\xff\xff\xff", 3);
        assert_int_equal(c.request.run.files[1].content.size, 0);
        done(&c);
        assert_refused("{\"code\": \"1\", \"files\": [{\"path\": \"a\"}]}", 422, "files[0].content",
                       "needs");
        assert_refused("{\"code\": \"1\", \"files\": [{\"content\": \"a\"}]}", 422, "files[0].path",
                       "required");
        assert_refused("{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"content\": \"\", "
                       "\"content_base64\": \"\"}]}",
                       422, "files[0].content", "not both");
        assert_refused(
                "{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"content_base64\": \"AAA\"}]}",
                422, "files[0].content_base64", "base64");
        assert_refused("{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"content_base64\": "
                       "\"AA\\nA=\"}]}",
                       422, "files[0].content_base64", "base64");
        assert_refused("{\"code\": \"1\", \"files\": [1]}", 422, "files[0]", "an object");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_files_stand_apart),
                cmocka_unit_test(test_file_contents),
        };

        return cmocka_run_group_tests_name("decode_files", tests, set_up, NULL);
}
