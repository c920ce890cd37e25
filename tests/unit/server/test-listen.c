/* Addresses, and the sockets that come of them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "server/listen.h"

static void test_bad_addresses(void **state) {
        static const char *const addresses[] = {
                "",
                ",",
                "8000",
                ":8000",
                "127.0.0.1:",
                "127.0.0.1:x",
                "127.0.0.1:-1",
                "127.0.0.1:65536",
                "127.0.0.1:80x",
                "::1:8000",
                "[::1]",
                "unix:",
                "127.0.0.1:0,nonsense",
        };

        for (size_t i = 0; i < N_ELEMENTS(addresses); i++) {
                ListenerSet set;

                if (listener_set_open(addresses[i], &set) != -EINVAL)
                        fail_msg("'%s' was taken", addresses[i]);
                assert_int_equal(set.n, 0);
        }
}

static void test_chosen_port_is_named(void **state) {
        ListenerSet set, second;

        assert_int_equal(listener_set_open("127.0.0.1:0, 127.0.0.1:0", &set), 0);
        assert_int_equal(set.n, 2);
        assert_memory_equal(set.of[0].address, "127.0.0.1:", 10);
        assert_string_not_equal(set.of[0].address, "127.0.0.1:0");
        assert_string_not_equal(set.of[0].address, set.of[1].address);
        assert_true(fcntl(set.of[0].fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(set.of[0].fd, F_GETFL) & O_NONBLOCK);
        assert_int_equal(listener_set_open(set.of[0].address, &second), -EADDRINUSE);
        listener_set_close(&set);
}

static void test_unix_socket(void **state) {
        char directory[] = "/tmp/hatchery-listen-XXXXXX";
        char path[64], address[80];
        ListenerSet set, second;
        struct stat status;
        int fd;

        assert_non_null(mkdtemp(directory));
        (void) snprintf(path, sizeof(path), "%s/socket", directory);
        (void) snprintf(address, sizeof(address), "unix:%s", path);

        assert_int_equal(listener_set_open(address, &set), 0);
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 0777, 0660);

        /* Somebody answers: it is theirs. */
        assert_int_equal(listener_set_open(address, &second), -EADDRINUSE);

        /* Nobody answers any more: a crash has left it. */
        close_fd(&set.of[0].fd);
        assert_int_equal(listener_set_open(address, &second), 0);
        free(set.of[0].address);
        free(set.of[0].unix_path);
        listener_set_close(&second);
        assert_int_equal(lstat(path, &status), -1);

        /* Something else is never removed. */
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(listener_set_open(address, &second), -EEXIST);
        assert_int_equal(lstat(path, &status), 0);
        (void) close(fd);
        (void) unlink(path);
        (void) rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bad_addresses),
                cmocka_unit_test(test_chosen_port_is_named),
                cmocka_unit_test(test_unix_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
