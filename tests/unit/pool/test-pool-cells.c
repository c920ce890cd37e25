/* A pool whose workers live in cells: which are kept, which are made anew, and what is left of them
 * with a layer less. */

#include <sched.h>
#include <sys/mount.h>

#include "cells.h"

/* --- kept --- */

static void test_a_clean_cell_is_kept(void **state) {
        pid_t keeper;

        need_cells();
        start_and_fill();
        keeper = only_keeper();
        for (unsigned i = 0; i < 10; i++) {
                run_well("import os\nprint(os.getcwd(), os.getppid())", "/work 0\n");
                drive_until(is_filled());
                assert_int_equal(only_keeper(), keeper);
        }
}

static void test_a_few_files_are_removed_from_it(void **state) {
        pid_t keeper;

        need_cells();
        start_and_fill();
        keeper = only_keeper();
        run_well("import os\n"
                 "for d in ('/work', '/tmp', '/dev/shm'):\n"
                 "    for i in range(10):\n"
                 "        open(f'{d}/{i}', 'w').write('x' * 1000)\n"
                 "    os.makedirs(f'{d}/a/b/c')\n"
                 "    os.symlink('/etc/passwd', f'{d}/link')\n"
                 "for d in ('/work', '/tmp'):\n"
                 "    os.chmod(d, 0)\n"
                 "print('done')",
                 "done\n");
        drive_until(is_filled());
        run_well(SEES_NOTHING, "[]\n");
        drive_until(is_filled());
        assert_int_equal(only_keeper(), keeper);
}

static void test_it_is_kept_for_a_kept_worker(void **state) {
        pid_t keeper, worker;

        need_cells();
        driver.template.recycle = RECYCLE_RESET;
        start_and_fill();
        keeper = only_keeper();
        worker = only_worker();
        for (unsigned i = 0; i < 5; i++) {
                run_well(SEES_NOTHING "\nopen('/work/x', 'w').write('x')", "[]\n");
                drive_until(is_filled());
        }
        assert_int_equal(only_keeper(), keeper);
        assert_int_equal(only_worker(), worker);
}

/* --- made anew --- */

static void check_made_anew(const char *code) {
        Watched watched = {0};
        pid_t keeper;

        start_and_fill();
        keeper = only_keeper();
        run(&watched, code);
        assert_string_equal(watched.out, "done\n");
        drive_until(is_filled());
        assert_int_not_equal(only_keeper(), keeper);
        run_well(SEES_NOTHING, "[]\n");
        assert_int_equal(counters().quarantined, 0);
}

static void test_after_many_files(void **state) {
        need_cells();
        check_made_anew("for i in range(5000):\n"
                        "    open(str(i), 'w').close()\n"
                        "print('done')");
}

static void test_after_a_deep_tree(void **state) {
        need_cells();
        check_made_anew("import os\n"
                        "for i in range(100):\n"
                        "    os.mkdir('d')\n"
                        "    os.chdir('d')\n"
                        "print('done')");
}

static void test_after_a_large_file(void **state) {
        need_cells();
        check_made_anew("open('large', 'wb').write(bytes(30 << 20))\n"
                        "print('done')");
}

/* Root empties it all the same; whoever is no more than its owner takes another one. */
static void test_after_all_was_closed(void **state) {
        need_cells();
        start_and_fill();
        run_well("import os\n"
                 "for i in range(20):\n"
                 "    os.makedirs(f'a{i}/b')\n"
                 "    open(f'a{i}/b/f', 'w').close()\n"
                 "    os.chmod(f'a{i}/b', 0)\n"
                 "    os.chmod(f'a{i}', 0)\n"
                 "for d in ('/work', '/tmp', '/dev/shm'):\n"
                 "    os.chmod(d, 0)\n"
                 "print('done')",
                 "done\n");
        drive_until(is_filled());
        run_well(SEES_NOTHING, "[]\n");
        drive_until(is_filled());
        assert_int_equal(counters().quarantined, 0);
}

static void test_after_a_full_disk(void **state) {
        pid_t keeper;

        need_cells();
        driver.template.limits.maximum[LIMIT_DISK_MB] = 64;
        start_and_fill();
        keeper = only_keeper();
        for (unsigned i = 0; i < 2; i++) {
                Watched watched = {0};

                run(&watched, "import errno\n"
                              "n = 0\n"
                              "try:\n"
                              "    while True:\n"
                              "        open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\n"
                              "        n += 1\n"
                              "except OSError as error:\n"
                              "    assert error.errno == errno.ENOSPC\n"
                              "print(n >= 64)");
                /* It comes to the end of its disk, or the next look at its limit comes first. */
                if (watched.status != RUN_OUTPUT_LIMIT)
                        assert_string_equal(watched.out, "True\n");
                drive_until(is_filled());
        }
        assert_int_not_equal(only_keeper(), keeper);
        run_well("import os\n"
                 "try:\n"
                 "    for i in range(1000000):\n"
                 "        open(f'/dev/shm/{i}', 'w').close()\n"
                 "except OSError as error:\n"
                 "    print(1000 < i < 100000)",
                 "True\n");
        drive_until(is_filled());
        run_well(SEES_NOTHING, "[]\n");
}

static void test_after_a_smaller_limit_was_overrun(void **state) {
        Watched watched = {0};
        RunRequest request;

        need_cells();
        start_and_fill();
        request = request_of("import time\n"
                             "open('/dev/shm/x', 'wb').write(bytes(3 << 20))\n"
                             "time.sleep(1000)");
        request.limits.of[LIMIT_DISK_MB] = 4;
        request.limits.of[LIMIT_WALL_MS] = 1000;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);
        watched = (Watched){0};
        request.limits.of[LIMIT_DISK_MB] = 2;
        request.limits.of[LIMIT_WALL_MS] = 300000;
        request.code = slice_of_text("import time\n"
                                     "for name in ('/work/x', '/tmp/x', '/dev/shm/x'):\n"
                                     "    open(name, 'wb').write(bytes(1 << 20))\n"
                                     "time.sleep(1000)");
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_OUTPUT_LIMIT);
}

static void test_a_reload_makes_all_anew(void **state) {
        pid_t before[16], after[16], maker;

        need_cells();
        driver.template.workers = 3;
        start_and_fill();
        drive_until_cells(3);
        maker = only_maker();
        assert_int_equal(list_cell_processes(before, N_ELEMENTS(before), true), 3);
        pool_reload(driver.pool);
        /* Three each time, and a canary. */
        drive_until(counters().workers_started >= 8 && is_filled());
        drive_until_cells(3);
        assert_int_not_equal(only_maker(), maker);
        assert_int_equal(list_cell_processes(after, N_ELEMENTS(after), true), 3);
        for (unsigned i = 0; i < 9; i++)
                assert_int_not_equal(before[i / 3], after[i % 3]);
        check_it_works();
}

/* --- without a part of it --- */

static void check_without(LayerMask off, bool clean) {
        isolate(off);
        allow_subprocesses();
        start_and_fill();
        for (unsigned i = 0; i < 3; i++) {
                Watched watched = {0};

                run(&watched, LEAVES_A_DAEMON "open('/tmp/x', 'w').write('x')");
                assert_status(&watched, RUN_OK);
                drive_until(is_filled());
                assert_int_equal(find_daemon(), 0);
        }
        if (clean)
                run_well("import os\nprint(os.listdir('/work'), os.path.exists('/tmp/x'))",
                         "[] False\n");
}

static void test_without_a_pid_namespace(void **state) {
        need_cells();
        check_without(layer_bit(LAYER_PID_NAMESPACE), true);
}

static void test_without_a_mount_namespace(void **state) {
        need_cells();
        /* Its /tmp is the machine's, where it may not write. */
        isolate(layer_bit(LAYER_MOUNT_NAMESPACE));
        start_and_fill();
        check_it_works();
        run_well("open('x', 'w').write('x')\nprint('done')", "done\n");
        drive_until(is_filled());
        run_well("import os\nprint(os.listdir('.'))", "[]\n");
}

static void test_without_any_cell(void **state) {
        need_cells();
        isolate(layer_bit(LAYER_MOUNT_NAMESPACE) | layer_bit(LAYER_PID_NAMESPACE));
        start_and_fill();
        check_it_works();
        /* A maker, for what all share; and in that, each has a user namespace of its own where it
         * cannot have a user. */
        check_all_children(has_cells() ? 1 + 1 + 1 + 1 : 1 + 1 + 1);
}

static void test_without_a_filter(void **state) {
        pid_t keeper;

        need_cells();
        isolate(layer_bit(LAYER_SECCOMP));
        start_and_fill();
        keeper = only_keeper();
        check_it_works();
        drive_until(is_filled());
        assert_int_not_equal(only_keeper(), keeper);
}

/* --- nothing adds up --- */

/* Where we may: what others mount on this machine meanwhile would be counted, too. */
static void leave_the_mounts_of_others(void) {
        if (unshare(CLONE_NEWNS) == 0)
                assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static unsigned count_mounts(void) {
        char text[65536];
        _autoclose_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        unsigned n = 0;
        ssize_t size;

        while ((size = read(fd, text, sizeof(text))) > 0) {
                for (ssize_t i = 0; i < size; i++)
                        n += text[i] == '\n';
        }
        return n;
}

static void test_two_hundred_runs_leave_nothing(void **state) {
        unsigned descriptors, mounts;

        need_cells();
        leave_the_mounts_of_others();
        driver.template.workers = 2;
        start_and_fill();
        check_it_works();
        drive_until(is_filled());
        /* The canary's keeper may take longer to end, and is watched by a descriptor until then. */
        check_all_children(2 + 2 + 2);
        descriptors = count_open_descriptors();
        mounts = count_mounts();
        for (unsigned i = 0; i < 100; i++) {
                Watched watched[2] = {0};

                submit(&watched[0], "print(1)");
                submit(&watched[1], "for i in range(200): open(f'/tmp/{i}', 'w').close()");
                finish(&watched[0]);
                finish(&watched[1]);
                assert_status(&watched[0], RUN_OK);
                assert_status(&watched[1], RUN_OK);
        }
        /* The janitor closes what was held of cells that were thrown away, in its own time. */
        drive_until(is_filled() && count_open_descriptors() == descriptors);
        /* Those of others that were copied go when their folder is removed (__detach_mounts()). */
        assert_true(count_mounts() <= mounts);
        check_all_children(2 + 2 + 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cells_test(test_a_clean_cell_is_kept),
                cells_test(test_a_few_files_are_removed_from_it),
                cells_test(test_it_is_kept_for_a_kept_worker),
                cells_test(test_after_many_files),
                cells_test(test_after_a_deep_tree),
                cells_test(test_after_a_large_file),
                cells_test(test_after_all_was_closed),
                cells_test(test_after_a_full_disk),
                cells_test(test_after_a_smaller_limit_was_overrun),
                cells_test(test_a_reload_makes_all_anew),
                cells_test(test_without_a_pid_namespace),
                cells_test(test_without_a_mount_namespace),
                cells_test(test_without_any_cell),
                cells_test(test_without_a_filter),
                cells_test(test_two_hundred_runs_leave_nothing),
        };

        return driver_run_tests("a pool with cells", tests);
}
