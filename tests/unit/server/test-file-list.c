/* Listings of a workspace that may be hostile. */

#include "workspace_scene.h"

#include "jsontext/scan.h"
#include "server/file_list.h"

static Buffer listing;

static const char *list(const char *path, const char *prefix) {
        int fd = file_open_folder(scene.fd, path);

        assert_true(fd >= 0);
        buffer_done(&listing);
        assert_int_equal(file_list(fd, prefix, &listing), 0);
        (void) close(fd);
        assert_true(json_is(buffer_slice(&listing), JSON_OBJECT, 0));
        assert_int_equal(buffer_append(&listing, "", 1), 0);
        return (const char *) listing.data;
}

static void test_list(void **state) {
        const struct timespec times[2] = {{.tv_sec = 0}, {.tv_sec = 86399, .tv_nsec = 999999999}};
        const struct timespec far[2] = {{.tv_sec = INT64_MAX / 4}, {.tv_sec = INT64_MAX / 4}};

        assert_string_equal(list("", ""), "{\"files\":[],\"truncated\":false}");
        assert_int_equal(put("b", "xy"), 0);
        assert_int_equal(put("a/\"c\"", ""), 0);
        assert_int_equal(symlinkat("/etc/passwd", scene.fd, "a/link"), 0);
        assert_int_equal(mkfifoat(scene.fd, "a/\xff", 0600), 0);
        assert_int_equal(utimensat(scene.fd, "b", times, 0), 0);
        assert_non_null(strstr(list("", ""),
                               "{\"files\":[{\"path\":\"a\",\"type\":\"folder\",\"size\":0,"));
        assert_non_null(
                strstr(list("", ""), "{\"path\":\"a/\\\"c\\\"\",\"type\":\"file\",\"size\":0,"));
        assert_non_null(strstr(list("", ""), "{\"path\":\"a/link\",\"type\":\"link\",\"size\":0,"));
        assert_non_null(strstr(list("", ""), "{\"path\":\"a/\xef\xbf\xbd\",\"type\":\"other\","));
        assert_non_null(strstr(list("", ""),
                               "{\"path\":\"b\",\"type\":\"file\",\"size\":2,\"modified\":"
                               "\"1970-01-01T23:59:59Z\"}],\"truncated\":false}"));
        assert_non_null(strstr(list("a", "a/"), "{\"files\":[{\"path\":\"a/\\\"c\\\"\""));
        (void) utimensat(scene.fd, "b", far, 0);
        assert_non_null(list("", ""));
}

static void test_long_lists(void **state) {
        make_names(FILE_LIST_ENTRIES_MAX);
        assert_non_null(strstr(list("", ""), "\"truncated\":false"));
        assert_int_equal(put("one-more", ""), 0);
        assert_non_null(strstr(list("", ""), "\"truncated\":true"));
}

static void test_deep_lists(void **state) {
        char name[256];
        int fd = openat(scene.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        memset(name, 'x', 255);
        name[255] = '\0';
        for (int i = 0; i < FILE_LIST_DEPTH_MAX + 8; i++) {
                int below_fd;

                assert_int_equal(mkdirat(fd, name, 0700), 0);
                below_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                (void) close(fd);
                fd = below_fd;
        }
        (void) close(fd);
        assert_non_null(strstr(list("", ""), "\"truncated\":true"));
}

static int done(void **state) {
        buffer_done(&listing);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                scene_test(test_list),
                scene_test(test_long_lists),
                scene_test(test_deep_lists),
        };

        return cmocka_run_group_tests(tests, NULL, done);
}
