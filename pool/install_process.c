/* pip's process: started, listened to, ended. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/install_internal.h"
#include "pool/measure.h"

#define TICK_NS (500 * NS_PER_MS)
/* Address space: Python, pip, and the largest file, which pip holds in memory a few times over. */
#define MEMORY_BYTES "3221225472"
/* What pip may have on disk beside what it unpacks: the archive itself, twice. */
#define STAGED_FACTOR 3
/* In one turn of the loop. */
#define REPORTS_MAX 64

/* --- start --- */

static int watch(const Install *install, int fd) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = _EVENTS + install->place};

        return epoll_ctl(install->installer->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
                       ? raise_errno("watch a process for packages")
                       : 0;
}

static int start(Install *install) {
        const InstallerConfig *config = &install->installer->config;
        const TemplateConfig *template = pool_template(config->pool, install->template);
        char staging[256], uid[16], seconds[32], file_bytes[32];
        Arguments arguments = {0};

        (void) snprintf(staging, sizeof(staging), "%s/staging/%s", install->installer->cache.path,
                        install->staging);
        (void) snprintf(uid, sizeof(uid), "%u", config->uid ? config->uid + install->place : 0);
        (void) snprintf(seconds, sizeof(seconds), "%llu",
                        (unsigned long long) config->timeout_ms / 1000 + 1);
        (void) snprintf(file_bytes, sizeof(file_bytes), "%llu",
                        (unsigned long long) config->packages_bytes_max);
        arguments_add(&arguments, config->python_program);
        arguments_add(&arguments, "--install");
        arguments_add_option(&arguments, "--socket", "3");
        arguments_add_option(&arguments, "--template", template->name);
        arguments_add_option(&arguments, "--staging", staging);
        arguments_add_option(&arguments, "--uid", uid);
        arguments_add_option(&arguments, "--index", config->index_url);
        arguments_add_option(&arguments, "--venv", template->venv);
        for (size_t i = 0; i < template->n_read_only_paths; i++)
                arguments_add_option(&arguments, "--view", template->read_only_paths[i]);
        arguments_add_option(&arguments, "--seconds", seconds);
        arguments_add_option(&arguments, "--memory-bytes", MEMORY_BYTES);
        arguments_add_option(&arguments, "--file-bytes", file_bytes);
        arguments_add_option(&arguments, "--log-level", config->log_level);
        return program_start(&arguments, &install->staging_fd, 1, &install->program);
}

static int open_process(Install *install) {
        pool_adopt(install->installer->config.pool, install->program.pid);
        install->pid_fd = (int) syscall(SYS_pidfd_open, install->program.pid, 0);
        if (install->pid_fd < 0)
                return raise_errno("open a process for packages");
        /* It is close-on-exec from its birth (Linux 5.3). */
        return watch(install, install->pid_fd);
}

static void set_timer(Install *install, uint64_t now_ns) {
        uint64_t next_ns = now_ns + TICK_NS;

        install->timer.what = install->place;
        timer_set(&install->installer->timers, &install->timer,
                  next_ns < install->deadline_ns ? next_ns : install->deadline_ns);
}

/* One that could not set itself up ends without listening; what it said of that waits in the
 * socket, and becomes the outcome. */
static int tell(Install *install, const void *message, size_t size) {
        int r = program_send(&install->program, message, size, NULL, 0);

        return r == -EPIPE ? 0 : r;
}

int install_process_start(Install *install) {
        uint64_t now_ns = clock_now_ns();
        int r = start(install);

        if (r == 0)
                r = open_process(install);
        if (r == 0)
                r = watch(install, install->program.socket_fd);
        if (r == 0)
                r = tell(install, install->texts, install->texts_size);
        if (r < 0) {
                install_fail(install, INSTALL_UNAVAILABLE,
                             "The process for packages could not be started.");
                install_process_free(install);
                return r;
        }
        install->deadline_ns = now_ns + install->installer->config.timeout_ms * NS_PER_MS;
        set_timer(install, now_ns);
        return 0;
}

/* --- end --- */

void install_process_kill(Install *install) {
        assert(install->step == INSTALL_RUNS);
        /* It leads a session; it could have no children, but who knows the next kernel. */
        (void) kill(-install->program.pid, SIGKILL);
        (void) kill(install->program.pid, SIGKILL);
        close_fd(&install->program.socket_fd);
        install->step = INSTALL_ENDS;
}

static void forget_process(Install *install) {
        if (install->program.pid > 0)
                pool_disown(install->installer->config.pool, install->program.pid);
        install->program.pid = 0;
        timer_clear(&install->installer->timers, &install->timer);
        close_fd(&install->pid_fd);
        close_fd(&install->program.socket_fd);
}

void install_process_free(Install *install) {
        pid_t pid = install->program.pid;

        if (pid > 0)
                (void) kill(-pid, SIGKILL);
        program_end(&install->program);
        install->program.pid = pid;
        forget_process(install);
}

/* --- what it says --- */

static void keep_log(Install *install, Slice text) {
        Buffer *log = &install->log;

        if (text.size > log->limit - log->size)
                buffer_consume(log, log->size < text.size + log->limit / 2
                                            ? log->size
                                            : text.size + log->limit / 2);
        (void) !buffer_append(log, text.data, text.size);
}

static bool add_wheel(Install *install, const InstallReport *report) {
        char normalized[REQUIREMENT_NAME_MAX + 1];
        InstallWheel *wheel;
        CachedWheel about = {0};

        if (report->number != install->n_wheels || install->n_wheels == INSTALL_WHEELS_MAX ||
            install->is_resolved ||
            sscanf(report->text, "%64s %128s %128s", about.sha256, about.name, about.version) !=
                    3 ||
            !wheel_is_sha256(about.sha256) ||
            !requirement_normalize(slice_of_text(about.name), normalized) ||
            !requirement_is_version(slice_of_text(about.version)))
                return false;
        if (!install->wheels)
                install->wheels = calloc(INSTALL_WHEELS_MAX, sizeof(*install->wheels));
        if (!install->wheels)
                return false;
        wheel = &install->wheels[install->n_wheels++];
        wheel->about = about;
        return true;
}

/* Those that are in the cache are pinned; the others are to be unpacked. */
static bool answer_resolved(Install *install, const InstallReport *report) {
        uint8_t wanted[INSTALL_WHEELS_MAX] = {0};
        size_t n = install->n_wheels;

        if (report->number != n || install->is_resolved)
                return false;
        install->is_resolved = true;
        for (size_t i = 0; i < n; i++) {
                InstallWheel *wheel = &install->wheels[i];

                wheel->cached = wheel_cache_find(&install->installer->cache, wheel->about.sha256);
                wheel->was_cached = wheel->cached != NULL;
                wheel->wanted = !wheel->cached;
                wanted[i] = wheel->wanted;
                if (wheel->cached)
                        wheel_cache_pin(wheel->cached);
        }
        return tell(install, wanted, n > 0 ? n : 1) == 0;
}

static bool note_unpacked(Install *install, uint32_t number) {
        if (!install->is_resolved || number >= install->n_wheels ||
            !install->wheels[number].wanted || install->wheels[number].unpacked)
                return false;
        install->wheels[number].unpacked = true;
        return true;
}

static bool is_all_unpacked(const Install *install) {
        for (size_t i = 0; i < install->n_wheels; i++) {
                if (install->wheels[i].wanted && !install->wheels[i].unpacked)
                        return false;
        }
        return install->is_resolved;
}

/* For whatever reason it does not go on: sessions compile what they import, and all else is there.
 */
static void go_without_bytecode(Install *install, const char *why) {
        log_warning("packages go without byte code: %s", why);
        install_process_kill(install);
}

static bool finish(Install *install) {
        if (!is_all_unpacked(install))
                return false;
        install_process_kill(install);
        return true;
}

static bool fail(Install *install, const InstallReport *report) {
        static const InstallOutcome outcomes[_INSTALL_FAILURES] = {
                [INSTALL_FAILURE_OWN] = INSTALL_UNAVAILABLE,
                [INSTALL_FAILURE_NOT_FOUND] = INSTALL_NOT_FOUND,
                [INSTALL_FAILURE_CONFLICT] = INSTALL_CONFLICT,
                [INSTALL_FAILURE_NO_INDEX] = INSTALL_NO_INDEX,
                [INSTALL_FAILURE_BAD_WHEEL] = INSTALL_BAD_WHEEL,
                [INSTALL_FAILURE_TOO_LARGE] = INSTALL_TOO_LARGE,
                [INSTALL_FAILURE_NO_SPACE] = INSTALL_NO_SPACE,
        };

        if (report->number == 0 || report->number >= _INSTALL_FAILURES)
                return false;
        if (is_all_unpacked(install)) {
                go_without_bytecode(install, report->text);
                return true;
        }
        install_fail(install, outcomes[report->number], "%s", report->text);
        install_process_kill(install);
        return true;
}

/* Returns false when it may not say that. */
static bool on_report(Install *install, const InstallReport *report) {
        switch (report->kind) {
        case INSTALL_SAYS:
                keep_log(install, slice_of_text(report->text));
                return true;
        case INSTALL_WHEEL:
                return add_wheel(install, report);
        case INSTALL_RESOLVED:
                return answer_resolved(install, report);
        case INSTALL_UNPACKED:
                return note_unpacked(install, report->number);
        case INSTALL_FINISHED:
                return finish(install);
        case INSTALL_FAILED:
                return fail(install, report);
        default:
                return false;
        }
}

static void listen_to(Install *install) {
        static InstallReport report;
        int fds[1];

        for (unsigned i = 0; i < REPORTS_MAX && install->step == INSTALL_RUNS; i++) {
                size_t size, n_fds;
                int r = program_receive(&install->program, &report, sizeof(report), &size, fds, 0,
                                        &n_fds);

                /* One that has ended without reading its order resets the connection, and the
                 * kernel tells that, once, before what was said. */
                if (r == PROGRAM_GONE)
                        r = program_receive(&install->program, &report, sizeof(report), &size, fds,
                                            0, &n_fds);
                if (r == PROGRAM_NO_MESSAGE)
                        return;
                if (r == PROGRAM_GONE) {
                        /* The end of the process tells. */
                        close_fd(&install->program.socket_fd);
                        return;
                }
                if (r < 0 || size <= INSTALL_REPORT_HEAD ||
                    !memchr(report.text, 0, size - INSTALL_REPORT_HEAD) ||
                    !on_report(install, &report)) {
                        log_warning("the process for packages says what it may not say kind=%u",
                                    report.kind);
                        install_fail(install, INSTALL_UNAVAILABLE,
                                     "The process for packages did not keep to its protocol.");
                        install_process_kill(install);
                }
        }
}

/* --- events --- */

/* Once it is known which wheels are needed, the index has given them: what takes so long now is
 * their own. */
static void fail_by_time(Install *install, const char *what) {
        if (install->is_resolved)
                install_fail(install, INSTALL_TOO_LARGE,
                             "There is too much in these packages: to unpack them takes more than "
                             "%s.",
                             what);
        else
                install_fail(install, INSTALL_TIMEOUT, "The installation took longer than %s.",
                             what);
}

static void on_exit_of(Install *install, int status) {
        if (install->step == INSTALL_RUNS && is_all_unpacked(install)) {
                log_warning("packages go without byte code: the process has ended status=0x%x",
                            (unsigned) status);
        } else if (install->step == INSTALL_RUNS) {
                log_warning("the process for packages has ended status=0x%x", (unsigned) status);
                if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
                        fail_by_time(install, "the CPU time that it may use");
                else
                        install_fail(install, INSTALL_UNAVAILABLE,
                                     "The process for packages ended before it was done.");
        }
        forget_process(install);
        install_on_process_end(install);
}

void install_process_on_event(Install *install) {
        int status;

        if (install->step != INSTALL_RUNS && install->step != INSTALL_ENDS)
                return;
        if (install->program.socket_fd >= 0)
                listen_to(install);
        /* What it has said before it ended is all read first. */
        if (install->program.socket_fd < 0 &&
            waitpid(install->program.pid, &status, WNOHANG) == install->program.pid)
                on_exit_of(install, status);
}

static bool overruns_disk(Install *install) {
        Installer *installer = install->installer;
        InstallPlace *place = &installer->places[install->place];
        uint64_t answer = __atomic_load_n(&place->staged, __ATOMIC_ACQUIRE);
        bool is_ours = place->asked_for_ns == install->deadline_ns;

        if (place->asked_for_ns == 0 || answer > 0) {
                place->asked_for_ns = install->deadline_ns;
                __atomic_store_n(&place->staged, 0, __ATOMIC_RELEASE);
                janitor_measure_folder(installer->cache.janitor, install->staging_fd,
                                       &place->staged);
        }
        return is_ours && answer > 0 &&
               answer - 1 > STAGED_FACTOR * installer->config.packages_bytes_max;
}

static void fail_by_disk(Install *install) {
        install_fail(install, INSTALL_TOO_LARGE,
                     "The installation takes more disk than it may, or has more than %u files; a "
                     "session's packages may take %llu MB (packages_mb).",
                     MEASURE_ENTRIES_MAX,
                     (unsigned long long) install->installer->config.packages_bytes_max >> 20);
}

void install_process_on_timer(Install *install, uint64_t now_ns) {
        bool is_late = now_ns >= install->deadline_ns;
        char limit[64];

        if (install->step != INSTALL_RUNS)
                return;
        if (!is_late && !overruns_disk(install)) {
                set_timer(install, now_ns);
                return;
        }
        if (is_all_unpacked(install)) {
                go_without_bytecode(install, is_late ? "it takes too long" : "it takes too much");
                return;
        }
        (void) snprintf(limit, sizeof(limit), "%llu ms (install_timeout_ms)",
                        (unsigned long long) install->installer->config.timeout_ms);
        if (is_late)
                fail_by_time(install, limit);
        else
                fail_by_disk(install);
        install_process_kill(install);
}
