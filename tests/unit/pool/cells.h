#pragma once
/* cells: a pool whose workers live in cells, where there are namespaces to be had. */

#include "driver.h"

static inline bool has_cells(void) {
        return isolation_has_cells(driver.plan.layers);
}

static inline int open_isolated(void **state) {
        if (driver_open(state) < 0)
                return -1;
        isolate(0);
        return 0;
}

#define need_cells()                                                                               \
        do {                                                                                       \
                if (!has_cells())                                                                  \
                        skip_because("no cells here");                                             \
        } while (0)

/* Keepers have a name of their own, and their maker has not. */
static inline size_t list_cell_processes(pid_t *pids, size_t n_max, bool keepers) {
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

/* A canary's cell ends with it, which nobody waits for. */
static inline void drive_until_cells(size_t n) {
        pid_t pids[16];

        drive_until(list_cell_processes(pids, N_ELEMENTS(pids), true) <= n);
}

static inline pid_t only_cell_process(bool keeper) {
        pid_t pids[16];

        if (keeper)
                drive_until_cells(1);
        assert_int_equal(list_cell_processes(pids, N_ELEMENTS(pids), keeper), 1);
        return pids[0];
}

#define only_keeper() only_cell_process(true)
#define only_maker()  only_cell_process(false)

static inline void kill_it(pid_t pid) {
        assert_true(pid > 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
}

/* … and its worker dies before anybody is told. */
static inline void kill_it_and_see(pid_t keeper, pid_t worker) {
        siginfo_t info;

        kill_it(keeper);
        assert_int_equal(waitid(P_PID, (id_t) worker, &info, WEXITED | WNOWAIT), 0);
}

static inline void see_started(Watched *watched) {
}

/* Submits a run, and returns when it has printed something. */
static inline void start_run(Watched *watched, const char *code) {
        watched->when_output = see_started;
        submit(watched, code);
        drive_until(watched->outputs > 0);
}

static inline void run_well(const char *code, const char *output) {
        Watched watched = {0};

        run(&watched, code);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, output);
}

#define SLEEPS "import time\nprint(1, end='', flush=True)\ntime.sleep(1000)"

#define SEES_NOTHING                                                                               \
        "import os\n"                                                                              \
        "print([n for d in ('/work', '/tmp', '/dev/shm') for n in os.listdir(d)])"

/* The pipe ends when the program is executed. */
#define LEAVES_A_DAEMON                                                                            \
        "import os, time\n"                                                                        \
        "r, w = os.pipe()\n"                                                                       \
        "if os.fork() == 0:\n"                                                                     \
        "    os.setsid()\n"                                                                        \
        "    os.execv('/bin/sleep', ['sleep', '86429'])\n"                                         \
        "os.close(w)\n"                                                                            \
        "os.read(r, 1)\n"                                                                          \
        "print('left', flush=True)\n"

static inline pid_t parent_of(pid_t pid) {
        char path[64], text[512] = "";
        const char *rest;
        int parent = 0;
        _autoclose_ int fd = -1;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return 0;
        rest = strrchr(text, ')');
        return rest && sscanf(rest, ") %*c %d", &parent) == 1 ? parent : 0;
}

static inline bool is_daemon(const char *pid) {
        char path[300], text[64] = "";
        _autoclose_ int fd = -1;

        (void) snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
               memmem(text, sizeof(text), "sleep\00086429", 11);
}

/* Before the code above: the run goes on until its worker is sent this. */
#define HEEDS_A_SIGNAL                                                                             \
        "import signal\n"                                                                          \
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
#define AWAITS_IT "signal.sigwait([signal.SIGUSR1])\n"

/* The daemon above. The same test may be under way elsewhere on this machine: ours is a child of a
 * worker, a keeper or, where there are no cells, of us. */
static inline pid_t find_daemon(void) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        pid_t found = 0;

        assert_non_null(proc);
        while (found == 0 && (entry = readdir(proc))) {
                pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10), parent;

                if (pid <= 0 || !is_daemon(entry->d_name))
                        continue;
                parent = parent_of(pid);
                if (parent == getpid() || parent_of(parent) == getpid())
                        found = pid;
        }
        (void) closedir(proc);
        return found;
}

/* The pipe ends a moment before the kernel knows the new command line. */
static inline pid_t await_daemon(void) {
        pid_t found;

        drive_until((found = find_daemon()) > 0);
        return found;
}

static inline bool is_empty(void) {
        TemplateState now = state_of_template();

        return now.starting + now.idle + now.busy + now.retiring == 0;
}

static inline void allow_subprocesses(void) {
        driver.template.subprocesses = true;
        driver.template.limits.maximum[LIMIT_PROCESSES] = 20;
        driver.template.limits.standard[LIMIT_PROCESSES] = 10;
}

#define cells_test(f) cmocka_unit_test_setup_teardown(f, open_isolated, driver_close)
