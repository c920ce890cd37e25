/* Files and folders of a workspace that may be hostile are removed. */

#include "workspace_scene.h"

static void test_remove(void **state) {
        assert_int_equal(put("a", "x"), 0);
        assert_int_equal(put("d/e/f", "x"), 0);
        assert_int_equal(mkdirat(scene.fd, "empty", 0700), 0);
        assert_int_equal(file_remove(scene.fd, "none", true, NULL), -ENOENT);
        assert_int_equal(file_remove(scene.fd, "a/x", true, NULL), -ENOTDIR);
        assert_int_equal(file_remove(scene.fd, "a", false, NULL), 0);
        assert_int_equal(file_remove(scene.fd, "d", false, NULL), -ENOTEMPTY);
        assert_int_equal(file_remove(scene.fd, "empty", false, NULL), 0);
        assert_int_equal(file_remove(scene.fd, "d", true, NULL), 0);
        assert_int_equal(count(scene.fd), 0);
}

/* Links below are removed, not followed; depth has no end; folders may be closed to their owner. */
static void test_remove_what_is_hostile(void **state) {
        int fd = openat(scene.outside_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(mkdirat(scene.outside_fd, "secret", 0700), 0);
        assert_int_equal(mkdirat(scene.outside_fd, "secret/inside", 0700), 0);
        assert_int_equal(mkdirat(scene.fd, "top", 0700), 0);
        assert_int_equal(symlinkat("../../secret", scene.fd, "top/link"), 0);
        assert_int_equal(mkdirat(scene.fd, "top/closed", 0700), 0);
        assert_int_equal(mkdirat(scene.fd, "top/closed/x", 0700), 0);
        assert_int_equal(fchmodat(scene.fd, "top/closed", 0, 0), 0);
        (void) close(fd);
        fd = openat(scene.fd, "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < 3000; i++) {
                int below_fd;

                assert_int_equal(mkdirat(fd, "d", 0700), 0);
                below_fd = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                (void) close(fd);
                fd = below_fd;
        }
        (void) close(fd);
        assert_int_equal(file_remove(scene.fd, "top", true, NULL), 0);
        assert_int_equal(count(scene.fd), 0);
        fd = openat(scene.outside_fd, "secret", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(count(fd), 1);
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                scene_test(test_remove),
                scene_test(test_remove_what_is_hostile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
