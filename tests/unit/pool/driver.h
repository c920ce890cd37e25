#pragma once
/*
 * driver: a real pool with a real hatchery-python behind it, driven by poll() as any caller would.
 * The program is named by HATCHERY_PYTHON, or is the one of this build; without either these tests
 * are skipped. With HATCHERY_ISOLATION=best-effort workers take whatever layers this machine has,
 * cells among them.
 */

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "folders.h"
#include "kit/clock.h"
#include "pool/pool.h"
#include "wire/run.h"

/* No test waits longer for one thing: it has failed by then. No test passes by being quicker. */
#define PATIENCE_NS (60 * NS_PER_S)

#define OUTPUT_MAX 4096

#define WORKER_UID_BASE 200000

/* One run, and what its callbacks have said. */
typedef struct Watched {
        Run *run;
        unsigned done;    /* calls */
        unsigned outputs; /* calls, of the callback */
        bool refused;
        RunStatus status;
        int signal, exit_code;
        bool has_exit_code, truncated;
        uint64_t stdout_bytes;
        char out[OUTPUT_MAX], error[256], value[256];
        size_t n_files, n_displays;
        uint64_t wall_ns, cpu_ns, peak_memory_kb;
        RunInSession session;
        void (*when_done)(struct Watched *watched);
        void (*when_output)(struct Watched *watched);
} Watched;

typedef struct Driver {
        Folder folder;
        Pool *pool;
        TemplateConfig template;
        PoolConfig config;
        IsolationPlan plan;
        unsigned descriptors_before;
} Driver;

static Driver driver;

static inline void text_of(Slice slice, char *to, size_t size) {
        size_t n = slice.size < size - 1 ? slice.size : size - 1;

        if (n > 0)
                memcpy(to, slice.data, n);
        to[n] = '\0';
}

static inline void driver_on_done(void *data, const RunResult *result) {
        Watched *watched = data;
        const RunOutput *output = &result->output[RUN_STDOUT];

        watched->done++;
        watched->refused = result->refused;
        watched->status = result->status;
        watched->signal = result->signal;
        watched->exit_code = result->exit_code;
        watched->has_exit_code = result->has_exit_code;
        watched->truncated = output->truncated;
        watched->stdout_bytes = output->total_bytes;
        text_of(output->head, watched->out, sizeof(watched->out));
        text_of(result->error.message, watched->error, sizeof(watched->error));
        text_of(result->value, watched->value, sizeof(watched->value));
        watched->n_files = result->n_files;
        watched->n_displays = result->n_displays;
        watched->wall_ns = result->usage.wall_ns;
        watched->cpu_ns = result->usage.cpu_ns;
        watched->peak_memory_kb = result->usage.peak_memory_kb;
        watched->session = result->session;
        if (watched->when_done)
                watched->when_done(watched);
}

static inline void driver_on_output(void *data, RunStream stream, Slice bytes) {
        Watched *watched = data;

        watched->outputs++;
        if (watched->when_output)
                watched->when_output(watched);
}

/* The standard limits, but no wall limit that a loaded machine could meet. */
static inline RunRequest request_of(const char *code) {
        RunRequest request = {
                .code = slice_of_text(code),
                .flags = REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS,
                .limits = limit_policy_defaults(&driver.template.limits),
        };

        request.limits.of[LIMIT_WALL_MS] = 300000;
        return request;
}

static inline int submit_request(Watched *watched, const RunRequest *request) {
        const RunCallbacks callbacks = {
                .done = driver_on_done,
                .output = watched->when_output ? driver_on_output : NULL,
        };

        return pool_submit(driver.pool, request, &callbacks, watched, &watched->run);
}

static inline void submit(Watched *watched, const char *code) {
        RunRequest request = request_of(code);

        assert_int_equal(submit_request(watched, &request), POOL_OK);
}

/* Waits for the pool's descriptor, and lets it work. */
static inline void turn(uint64_t until_ns) {
        struct pollfd fd = {.fd = pool_fd(driver.pool), .events = POLLIN};

        if (clock_now_ns() > until_ns)
                fail_msg("nothing has come of it for too long");
        assert_true(poll(&fd, 1, 100) >= 0);
        assert_int_equal(pool_dispatch(driver.pool), 0);
}

#define drive_until(condition)                                                                     \
        do {                                                                                       \
                uint64_t until_ns_ = clock_now_ns() + PATIENCE_NS;                                 \
                while (!(condition))                                                               \
                        turn(until_ns_);                                                           \
        } while (0)

static inline TemplateState state_of_template(void) {
        TemplateState state;

        pool_template_state(driver.pool, 0, &state);
        return state;
}

static inline PoolCounters counters(void) {
        PoolCounters counters;

        pool_counters(driver.pool, &counters);
        return counters;
}

static inline bool is_filled(void) {
        TemplateState state = state_of_template();

        return state.ready && state.idle == state.workers;
}

static inline void finish(Watched *watched) {
        drive_until(watched->done > 0);
        assert_int_equal(watched->done, 1);
}

static inline void run(Watched *watched, const char *code) {
        submit(watched, code);
        finish(watched);
}

/* A macro, so that a failure tells the line of the test. */
#define assert_status(watched, wanted)                                                             \
        do {                                                                                       \
                if ((watched)->status != (wanted))                                                 \
                        fail_msg("it ended as %s (signal %d, code %d) and not as %s: %s",          \
                                 run_status_name((watched)->status), (watched)->signal,            \
                                 (watched)->exit_code, run_status_name(wanted), (watched)->error); \
        } while (0)

/* It still does what it is for. */
static inline void check_it_works(void) {
        Watched watched = {0};

        run(&watched, "print(6 * 7)");
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "42\n");
}

/* Our children: a zygote and the workers, and with cells their maker and their keepers; and nobody
 * else. */
static inline size_t list_children(pid_t *children, size_t n_max) {
        char path[64], text[8192];
        size_t n = 0;
        ssize_t size;
        char *rest = NULL;
        _autoclose_ int fd = -1;

        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        size = read(fd, text, sizeof(text) - 1);
        assert_true(size >= 0);
        text[size] = '\0';
        for (char *word = strtok_r(text, " ", &rest); word && n < n_max;
             word = strtok_r(NULL, " ", &rest))
                children[n++] = (pid_t) strtol(word, NULL, 10);
        return n;
}

static inline size_t count_all_children(void) {
        pid_t children[256];

        return list_children(children, N_ELEMENTS(children));
}

/* A cell maker, or a keeper, which is a fork of one. */
static inline bool is_of_cells(pid_t pid) {
        char path[64], text[4096];
        _autoclose_ int fd = -1;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = read(fd, text, sizeof(text));
        return n > 0 && memmem(text, (size_t) n, "--make-cells", strlen("--make-cells"));
}

static inline size_t list_of_cells(pid_t *pids, size_t n_max, bool of_cells) {
        size_t n = list_children(pids, n_max), kept = 0;

        for (size_t i = 0; i < n; i++) {
                if (is_of_cells(pids[i]) == of_cells)
                        pids[kept++] = pids[i];
        }
        return kept;
}

/* Of these, the zygote and the workers. */
static inline size_t count_children(void) {
        pid_t pids[256];

        return list_of_cells(pids, N_ELEMENTS(pids), false);
}

/* The zygote and the workers are so many, as soon as what is dying has gone: a canary may just have
 * done its work, and a keeper that is dying has no command line to tell it by. */
#define check_children(n)     drive_until(count_children() == (n))
#define check_all_children(n) drive_until(count_all_children() == (n))

/* With one slot: the process in it. */
static inline pid_t only_worker(void) {
        pid_t children[16], zygote = state_of_template().zygote_pid, worker = 0;
        size_t n;

        drive_until((n = list_of_cells(children, N_ELEMENTS(children), false)) <= 2);
        for (size_t i = 0; i < n; i++) {
                if (children[i] == zygote)
                        continue;
                assert_int_equal(worker, 0);
                worker = children[i];
        }
        assert_true(worker > 0);
        return worker;
}

#ifndef BUILT_PYTHON
#define BUILT_PYTHON ""
#endif

static inline const char *driver_program(void) {
        const char *program = getenv("HATCHERY_PYTHON");

        program = program && program[0] ? program : BUILT_PYTHON;
        return access(program, X_OK) == 0 ? program : NULL;
}

/* Once, before any pool has made this process adopt the children of others. */
static IsolationSurvey driver_survey;

static inline void driver_look_around(void) {
        IsolationConfig config = {
                .mode = ISOLATION_BEST_EFFORT,
                .worker_uid_base = geteuid() == 0 ? WORKER_UID_BASE : 0,
        };

        if (isolation_survey(&config, &driver_survey) < 0)
                abort();
}

/* What can be had here, less what is not wanted. */
static inline void isolate(LayerMask off) {
        IsolationConfig config = {
                .mode = ISOLATION_BEST_EFFORT,
                .off = off,
                .worker_uid_base = driver.config.worker_uid_base,
        };
        char refusal[512];

        assert_int_equal(
                isolation_plan(&config, &driver_survey, &driver.plan, refusal, sizeof(refusal)), 0);
        driver.config.isolation = &driver.plan;
}

static inline int driver_open(void **state) {
        const char *isolation = getenv("HATCHERY_ISOLATION");

        driver = (Driver){
                .template = {.name = "default", .workers = 1, .limits = limit_policy_standard()},
                .config = {.queue_max = 100,
                           .queue_wait_ms = 300000,
                           .value_bytes_max = 1 << 20,
                           .collect_bytes_max = 1 << 20,
                           .collect_files_max = 10,
                           .start_timeout_ms = 60000,
                           .log_level = "error"},
        };
        driver.config.python_program = driver_program();
        driver.config.worker_uid_base = geteuid() == 0 ? WORKER_UID_BASE : 0;
        driver.config.templates = &driver.template;
        driver.config.n_templates = 1;
        if (isolation && strcmp(isolation, "best-effort") == 0)
                isolate(0);
        driver.descriptors_before = count_open_descriptors();
        folder_make(&driver.folder);
        driver.config.work_directory = driver.folder.path;
        return 0;
}

/* Starts the pool as the test has configured it. */
static inline void start(void) {
        assert_int_equal(pool_new(&driver.config, &driver.pool), 0);
}

static inline void start_and_fill(void) {
        start();
        drive_until(is_filled());
}

/* Whatever a test did: no process, no file and no descriptor is left. */
static inline int driver_close(void **state) {
        unsigned files, descriptors;
        size_t children;

        driver.pool = pool_free(driver.pool);
        children = count_all_children();
        files = count_entries(driver.folder.fd);
        folder_remove(&driver.folder);
        descriptors = count_open_descriptors();
        assert_int_equal(children, 0);
        assert_int_equal(files, 0);
        assert_int_equal(descriptors, driver.descriptors_before);
        return 0;
}

#define pool_test(f) cmocka_unit_test_setup_teardown(f, driver_open, driver_close)

/* Without the program, all of them are one test that is skipped. */
#define driver_run_tests(name, tests)                                                              \
        ({                                                                                         \
                (void) signal(SIGPIPE, SIG_IGN);                                                   \
                driver_look_around();                                                              \
                if (!driver_program())                                                             \
                        print_message("1..1\nskipped: HATCHERY_PYTHON names no program\n"          \
                                      "not ok 1 # SKIP " name "\n");                               \
                driver_program() ? cmocka_run_group_tests_name(name, tests, NULL, NULL) : 0;       \
        })
