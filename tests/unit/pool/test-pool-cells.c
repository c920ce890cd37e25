/* A pool whose workers live in cells: which are kept, which are made anew, and what dies with them.
 * Skipped where there are no namespaces to be had. */

#include <sys/ptrace.h>

#include "driver.h"

static bool has_cells(void) {
        return isolation_has_cells(driver.plan.layers);
}

static int open_isolated(void **state) {
        if (driver_open(state) < 0)
                return -1;
        isolate(0);
        return 0;
}

#define need_cells()                                                                               \
        do {                                                                                       \
                if (!has_cells())                                                                  \
                        skip();                                                                    \
        } while (0)

/* Keepers have a name of their own, and their maker has not. */
static size_t list_cell_processes(pid_t *pids, size_t n_max, bool keepers) {
        size_t n = list_of_cells(pids, n_max, true), kept = 0;

        for (size_t i = 0; i < n; i++) {
                char path[64], name[32] = "";
                _autoclose_ int fd = -1;

                (void) snprintf(path, sizeof(path), "/proc/%d/comm", pids[i]);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (read(fd, name, sizeof(name) - 1) < 0)
                        continue;
                if ((strcmp(name, "hatchery-cell\n") == 0) == keepers)
                        pids[kept++] = pids[i];
        }
        return kept;
}

static pid_t only_cell_process(bool keeper) {
        pid_t pids[16];

        assert_int_equal(list_cell_processes(pids, N_ELEMENTS(pids), keeper), 1);
        return pids[0];
}

#define only_keeper() only_cell_process(true)
#define only_maker()  only_cell_process(false)

static void kill_it(pid_t pid) {
        assert_true(pid > 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
}

/* … and its worker dies before anybody is told. */
static void kill_it_and_see(pid_t keeper, pid_t worker) {
        siginfo_t info;

        kill_it(keeper);
        assert_int_equal(waitid(P_PID, (id_t) worker, &info, WEXITED | WNOWAIT), 0);
}

static void see_started(Watched *watched) {
}

/* Submits a run, and returns when it has printed something. */
static void start_run(Watched *watched, const char *code) {
        watched->when_output = see_started;
        submit(watched, code);
        drive_until(watched->outputs > 0);
}

static void run_well(const char *code, const char *output) {
        Watched watched = {0};

        run(&watched, code);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, output);
}

#define SLEEPS "import time\nprint(1, end='', flush=True)\ntime.sleep(1000)"

#define SEES_NOTHING                                                                               \
        "import os\n"                                                                              \
        "print([n for d in ('/work', '/tmp', '/dev/shm') for n in os.listdir(d)])"

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
        maker = only_maker();
        assert_int_equal(list_cell_processes(before, N_ELEMENTS(before), true), 3);
        pool_reload(driver.pool);
        drive_until(counters().workers_started >= 6 && is_filled());
        assert_int_not_equal(only_maker(), maker);
        assert_int_equal(list_cell_processes(after, N_ELEMENTS(after), true), 3);
        for (unsigned i = 0; i < 9; i++)
                assert_int_not_equal(before[i / 3], after[i % 3]);
        check_it_works();
}

/* --- what dies --- */

#define LEAVES_A_DAEMON                                                                            \
        "import os, subprocess\n"                                                                  \
        "if os.fork() == 0:\n"                                                                     \
        "    os.setsid()\n"                                                                        \
        "    os.execv('/bin/sleep', ['sleep', '86429'])\n"                                         \
        "import time\n"                                                                            \
        "time.sleep(0.05)\n"                                                                       \
        "print('left', flush=True)\n"

/* The daemon above, wherever on this machine. */
static pid_t find_daemon(void) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        pid_t found = 0;

        assert_non_null(proc);
        while (found == 0 && (entry = readdir(proc))) {
                char path[300], text[64] = "";
                _autoclose_ int fd = -1;

                (void) snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
                    memmem(text, sizeof(text), "sleep\00086429", 11))
                        found = (pid_t) strtol(entry->d_name, NULL, 10);
        }
        (void) closedir(proc);
        return found;
}

static bool is_empty(void) {
        TemplateState now = state_of_template();

        return now.starting + now.idle + now.busy + now.retiring == 0;
}

static void allow_subprocesses(void) {
        driver.template.subprocesses = true;
        driver.template.limits.maximum[LIMIT_PROCESSES] = 20;
        driver.template.limits.standard[LIMIT_PROCESSES] = 10;
}

static void test_a_daemon_is_gone_before_the_slot_is_empty(void **state) {
        need_cells();
        allow_subprocesses();
        start_and_fill();
        for (unsigned i = 0; i < 5; i++) {
                Watched watched = {0};
                pid_t keeper = only_keeper();

                start_run(&watched, LEAVES_A_DAEMON "time.sleep(0.1)");
                assert_true(find_daemon() > 0);
                finish(&watched);
                assert_status(&watched, RUN_OK);
                drive_until(is_empty());
                assert_int_equal(find_daemon(), 0);
                drive_until(is_filled());
                assert_int_not_equal(only_keeper(), keeper);
        }
        assert_int_equal(count_children(), 2);
}

static void test_a_killed_run_takes_its_daemon_with_it(void **state) {
        Watched watched = {0};
        RunRequest request;

        need_cells();
        allow_subprocesses();
        start_and_fill();
        request = request_of(LEAVES_A_DAEMON "open('kept.txt', 'w').write('x')\n"
                                             "time.sleep(1000)");
        request.limits.of[LIMIT_WALL_MS] = 1000;
        request.collect = (Slice[]){slice_of_text("*.txt")};
        request.n_collect = 1;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);
        assert_string_equal(watched.out, "left\n");
        assert_int_equal(watched.n_files, 1);
        drive_until(is_empty());
        assert_int_equal(find_daemon(), 0);
        drive_until(is_filled());
}

static void test_the_daemon_of_a_crashed_worker(void **state) {
        Watched watched = {0};

        need_cells();
        allow_subprocesses();
        start_and_fill();
        run(&watched, LEAVES_A_DAEMON "os.kill(os.getpid(), 11)");
        assert_status(&watched, RUN_CRASHED);
        assert_int_equal(watched.signal, SIGSEGV);
        assert_string_equal(watched.out, "left\n");
        drive_until(is_empty());
        assert_int_equal(find_daemon(), 0);
        drive_until(is_filled());
}

static void test_a_killed_keeper_while_idle(void **state) {
        need_cells();
        start_and_fill();
        for (unsigned i = 0; i < 10; i++) {
                pid_t keeper = only_keeper();

                kill_it_and_see(keeper, only_worker());
                check_it_works();
                drive_until(is_filled() && kill(keeper, 0) < 0);
                assert_int_not_equal(only_keeper(), keeper);
        }
        assert_int_equal(counters().runs[RUN_OK], 10);
}

static void test_a_killed_keeper_of_a_run(void **state) {
        Watched watched = {0};

        need_cells();
        start_and_fill();
        start_run(&watched, SLEEPS);
        kill_it(only_keeper());
        finish(&watched);
        assert_status(&watched, RUN_CRASHED);
        assert_int_equal(watched.signal, SIGKILL);
        assert_string_equal(watched.out, "1");
        check_it_works();
        drive_until(is_filled());
        (void) only_keeper();
}

static void test_a_killed_maker(void **state) {
        Watched watched = {0};

        need_cells();
        driver.template.workers = 2;
        start_and_fill();
        start_run(&watched, "import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)");
        kill_it(only_maker());
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "1\n2\n");
        drive_until(state_of_template().restarts == 1 && is_filled());
        check_it_works();
        drive_until(is_filled());
        assert_int_equal(count_all_children(), 2 + 2 + 2);
}

static void test_a_stopped_maker_is_replaced(void **state) {
        need_cells();
        start_and_fill();
        assert_int_equal(kill(only_maker(), SIGSTOP), 0);
        kill_it(only_keeper());
        drive_until(state_of_template().restarts == 1 && is_filled());
        check_it_works();
}

/* Makers, keepers and zygotes die at any time, while runs come and go. */
static void test_killing_under_load(void **state) {
        Dice dice = {20261121};
        unsigned done = 0;

        need_cells();
        driver.template.workers = 4;
        start_and_fill();
        for (unsigned round = 0; round < 15; round++) {
                Watched watched[8] = {0};
                pid_t pids[64];
                size_t n;

                for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                        submit(&watched[i], "print(1)");
                turn(clock_now_ns() + PATIENCE_NS);
                n = list_of_cells(pids, N_ELEMENTS(pids), true);
                if (n > 0)
                        (void) kill(pids[dice_below(&dice, n)], SIGKILL);
                for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                        finish(&watched[i]);
                        /* A run whose worker died with its keeper has crashed; none is lost. */
                        if (watched[i].status != RUN_CRASHED)
                                assert_status(&watched[i], RUN_OK);
                        done += watched[i].status == RUN_OK;
                }
        }
        assert_true(done > 60);
        drive_until(is_filled());
        assert_int_equal(count_all_children(), 2 + 4 + 4);
        assert_int_equal(counters().quarantined, 0);
}

static void test_a_maker_that_cannot(void **state) {
        const char *missing[] = {"/nonexistent/library"};

        need_cells();
        driver.template.read_only_paths = missing;
        driver.template.n_read_only_paths = 1;
        start();
        drive_until(state_of_template().failure != NULL);
        assert_non_null(strstr(state_of_template().failure, "/nonexistent/library"));
        assert_false(state_of_template().ready);
}

/* A traced process is not gone before its tracer has looked: as good a stuck one as any. */
static void test_a_cell_that_does_not_end(void **state) {
        Watched watched = {0};
        pid_t stuck;

        need_cells();
        if (geteuid() != 0)
                skip();
        allow_subprocesses();
        driver.template.workers = 2;
        start_and_fill();
        start_run(&watched, LEAVES_A_DAEMON "time.sleep(0.5)");
        stuck = find_daemon();
        assert_true(stuck > 0);
        assert_int_equal(ptrace(PTRACE_SEIZE, stuck, NULL, NULL), 0);
        finish(&watched);
        drive_until(counters().quarantined == 1);
        check_it_works();
        /* It ends later: nothing comes of it. */
        assert_int_equal(waitpid(stuck, NULL, __WALL), stuck);
        drive_until(state_of_template().idle == 1 && count_all_children() == 2 + 1 + 1);
        check_it_works();
}

/* The server's death takes all of them. */
static void test_the_end_of_the_server(void **state) {
        pid_t server, pids[64];
        size_t n;

        need_cells();
        server = fork();
        if (server == 0) {
                start();
                while (!is_filled())
                        turn(clock_now_ns() + PATIENCE_NS);
                n = list_children(pids, N_ELEMENTS(pids));
                if (n < 4)
                        _exit(1);
                (void) raise(SIGKILL);
        }
        assert_int_equal(waitpid(server, NULL, 0), server);
        /* Its children come to us, its reaper, or to that of the machine. */
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; count_all_children() > 0;) {
                assert_true(clock_now_ns() < until_ns);
                (void) waitpid(-1, NULL, WNOHANG);
        }
        driver.pool = NULL;
        start();
        drive_until(is_filled());
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
        assert_int_equal(count_all_children(), has_cells() ? 1 + 1 + 1 + 1 : 1 + 1 + 1);
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
        driver.template.workers = 2;
        start_and_fill();
        check_it_works();
        drive_until(is_filled());
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
        drive_until(is_filled());
        assert_int_equal(count_open_descriptors(), descriptors);
        assert_int_equal(count_mounts(), mounts);
        assert_int_equal(count_all_children(), 2 + 2 + 2);
}

#define cells_test(f) cmocka_unit_test_setup_teardown(f, open_isolated, driver_close)

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
                cells_test(test_a_daemon_is_gone_before_the_slot_is_empty),
                cells_test(test_a_killed_run_takes_its_daemon_with_it),
                cells_test(test_the_daemon_of_a_crashed_worker),
                cells_test(test_a_killed_keeper_while_idle),
                cells_test(test_a_killed_keeper_of_a_run),
                cells_test(test_a_killed_maker),
                cells_test(test_a_stopped_maker_is_replaced),
                cells_test(test_killing_under_load),
                cells_test(test_a_maker_that_cannot),
                cells_test(test_a_cell_that_does_not_end),
                cells_test(test_the_end_of_the_server),
                cells_test(test_without_a_pid_namespace),
                cells_test(test_without_a_mount_namespace),
                cells_test(test_without_any_cell),
                cells_test(test_without_a_filter),
                cells_test(test_two_hundred_runs_leave_nothing),
        };

        return driver_run_tests("a pool with cells", tests);
}
