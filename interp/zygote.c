#include "interp/zygote.h"

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "interp/compat.h"
#include "interp/confine.h"
#include "interp/embed.h"
#include "interp/execute.h"
#include "interp/fork.h"
#include "interp/image.h"
#include "interp/runtime.h"
#include "interp/touch.h"
#include "interp/worker.h"
#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"

/* Twice more after what is only done once. */
#define PRACTICE_TIMES 3

typedef struct Zygote {
        int socket_fd;
        uint64_t started_ns;
        pid_t supervisor;
} Zygote;

static int send_report(const Zygote *zygote, ZygoteReportKind kind, uint32_t slot, int64_t value,
                       const char *text) {
        static ZygoteReport report; /* 16 KB would be a lot of stack to dirty */
        size_t length = strnlen(text, ZYGOTE_REPORT_TEXT_MAX - 1);
        ssize_t n;

        report.kind = kind;
        report.slot = slot;
        report.value = value;
        memcpy(report.text, text, length);
        report.text[length] = 0;
        do
                n = send(zygote->socket_fd, &report, ZYGOTE_REPORT_HEAD + length + 1, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static int64_t age_ms(const Zygote *zygote) {
        return (int64_t) ((clock_now_ns() - zygote->started_ns) / NS_PER_MS);
}

static int report_progress(const Zygote *zygote, const char *text) {
        return send_report(zygote, ZYGOTE_PROGRESS, 0, age_ms(zygote), text);
}

static int fail(const Zygote *zygote, const char *why) {
        log_error("cannot serve: %s", why);
        (void) send_report(zygote, ZYGOTE_FAILED, 0, age_ms(zygote), why);
        return -1;
}

static int fail_in_python(const Zygote *zygote, const char *what) {
        _pyowned_ PyObject *exception = compat_take_exception();
        _pyowned_ PyObject *text = NULL;
        const char *why;

        if (exception)
                text = runtime_call(RUNTIME_FAILURE_TEXT, "(sO)", what, exception);
        why = text ? PyUnicode_AsUTF8(text) : NULL;
        return fail(zygote, why ? why : what);
}

/* What a worker finds is what a program that Python starts would find; the zygote itself is ended
 * by its socket. */
static void set_signals(void) {
        sigset_t interrupt;

        for (int number = 1; number <= SIGRTMAX; number++)
                (void) signal(number, SIG_DFL); /* refused for SIGKILL, SIGSTOP and glibc's own */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);
        (void) sigemptyset(&interrupt);
        (void) sigaddset(&interrupt, SIGINT);
        (void) sigprocmask(SIG_SETMASK, &interrupt, NULL);
}

/* Raising one's own score takes no rights. */
static void raise_oom_score(void) {
        _autoclose_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, CONFINE_ZYGOTE_OOM_SCORE, strlen(CONFINE_ZYGOTE_OOM_SCORE)) < 0)
                log_debug("the out-of-memory score stays as it is: %s", strerror(errno));
}

/* no_new_privs is not among it: nothing here executes what it is given, and a worker that has it
 * from here could not be without. */
static int secure(Zygote *zygote, const ZygoteOptions *options) {
        zygote->supervisor = getppid();
        if (confine_enter_shared(options->namespaces, options->n_namespaces) < 0)
                return -1;
        if (fcntl(zygote->socket_fd, F_SETFD, FD_CLOEXEC) < 0)
                return raise_errno("the socket of the supervisor");
        raise_oom_score();
        /* Python looks for modules in the current directory, and whatever lies in the server's
         * shall not be taken for one. */
        if (chdir("/") < 0)
                return raise_errno("leave the current directory");
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return raise_errno("end with the supervisor");
        return 0;
}

static int import_modules(const Zygote *zygote, const ZygoteOptions *options) {
        for (size_t i = 0; i < options->n_imports; i++) {
                _pyowned_ PyObject *module = NULL;

                if (report_progress(zygote, options->imports[i]) < 0)
                        return -1;
                module = PyImport_ImportModule(options->imports[i]);
                if (!module)
                        return fail_in_python(zygote, options->imports[i]);
        }
        return 0;
}

static int run_prelude(const Zygote *zygote, const ZygoteOptions *options) {
        _pyowned_ PyObject *result = NULL;

        if (!options->prelude)
                return 0;
        if (report_progress(zygote, options->prelude) < 0)
                return -1;
        result = runtime_call(RUNTIME_RUN_PRELUDE, "(s)", options->prelude);
        return result ? 0 : fail_in_python(zygote, "prelude");
}

static int check_threads(const Zygote *zygote) {
        char text[128];
        int count = fork_count_threads();

        if (count == 1)
                return 0;
        (void) snprintf(text, sizeof(text),
                        "after the imports there are %d threads; a process with more than one "
                        "cannot be forked safely",
                        count);
        return fail(zygote, text);
}

static int start_python(const Zygote *zygote, const ZygoteOptions *options) {
        EmbedFailure failure;

        if (report_progress(zygote, "Python") < 0)
                return -1;
        embed_set_environment();
        if (embed_start(options->venv, &failure) < 0)
                return fail(zygote, failure.text);
        if (runtime_load() < 0) {
                PyErr_Print();
                return fail(zygote, "the harness does not start with this Python");
        }
        return execute_watch_forks() < 0 ? fail(zygote, "its forks cannot be watched") : 0;
}

/* JSON about this interpreter; a new reference to a str, or NULL with a Python exception set. */
static PyObject *versions_of(const ZygoteOptions *options) {
        _pyowned_ PyObject *imports = PyList_New(0);

        for (size_t i = 0; imports && i < options->n_imports; i++) {
                _pyowned_ PyObject *name = PyUnicode_FromString(options->imports[i]);

                if (!name || PyList_Append(imports, name) < 0)
                        return NULL;
        }
        return imports ? runtime_call_one(RUNTIME_VERSIONS, imports) : NULL;
}

/* The last steps: from here on no Python object is touched in this process. Only then it becomes
 * non-dumpable, because that closes files of /proc/self to a plain user, and there is nothing to
 * hide from anybody before. */
static int make_image(const Zygote *zygote, const ZygoteOptions *options) {
        long moved = image_make();

        if (moved < 0)
                log_warning("forks are slower than they could be: no memory image: %s",
                            strerror((int) -moved));
        else
                log_debug("memory image of %ld KiB", moved >> 10);
        /* After the image, which changes what a page is. */
        log_debug("pages of heavy runs: %ld",
                  touch_record(worker_record, (void *) options->warm_up));
        if (confine_prepare(&options->view) < 0)
                return fail(zygote, "workers could not be confined");
        return prctl(PR_SET_DUMPABLE, 0) < 0 ? fail(zygote, "the zygote stays dumpable") : 0;
}

/* Workers close what they do not know, so a file that a library keeps open would be missing there,
 * or worse, another one. */
static void warn_of_open_files(const Zygote *zygote) {
        char path[64], target[256];

        for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
                ssize_t n;

                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                n = fd == zygote->socket_fd ? -1 : readlink(path, target, sizeof(target));
                if (n >= 0)
                        log_warning("the imports left a file open that workers will not have: %.*s",
                                    (int) n, target);
        }
}

/* Everything that is done once. Returns 0, or -1 after a report. */
static int warm_up(Zygote *zygote, const ZygoteOptions *options) {
        _pyowned_ PyObject *frozen = NULL, *versions = NULL;
        const char *text;

        if (start_python(zygote, options) < 0 || import_modules(zygote, options) < 0 ||
            run_prelude(zygote, options) < 0 || report_progress(zygote, "warm-up") < 0)
                return -1;
        if (worker_practise(options->warm_up, false, PRACTICE_TIMES) < 0)
                return fail_in_python(zygote, "warm-up");
        if (check_threads(zygote) < 0)
                return -1;
        warn_of_open_files(zygote);
        versions = versions_of(options);
        text = versions ? PyUnicode_AsUTF8(versions) : NULL;
        if (!text)
                return fail_in_python(zygote, "versions");

        fork_prepare();
        frozen = runtime_call_plain(RUNTIME_BEFORE_FORKING);
        if (!frozen)
                return fail_in_python(zygote, "freeze");
        if (make_image(zygote, options) < 0)
                return -1;
        return send_report(zygote, ZYGOTE_READY, 0, age_ms(zygote), text);
}

/* Receives one command. Returns 1, 0 at the end of the socket, or -errno: then the protocol is
 * broken. */
static int receive_command(int socket_fd, SpawnCommand *ret_command, int ret_fds[_SPAWN_FDS]) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * _SPAWN_FDS)];
        } control;
        struct iovec iov = {ret_command, sizeof(*ret_command)};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header;
        size_t n_fds, next = 0;
        ssize_t n;

        do
                n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        /* Reset: the supervisor has gone and had not read all that was said to it. */
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return 0;
        if (n < 0)
                return raise_errno("receive a command");

        header = CMSG_FIRSTHDR(&message);
        n_fds = _SPAWN_FDS_ALWAYS + (size_t) __builtin_popcount(ret_command->optional_fds);
        if (n != sizeof(*ret_command) || ret_command->optional_fds >> _SPAWN_FDS ||
            ret_command->layers & ~LAYERS_ALL || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
            ret_command->kind != ZYGOTE_SPAWN ||
            !memchr(ret_command->directory, 0, sizeof(ret_command->directory)) ||
            !memchr(ret_command->folder, 0, sizeof(ret_command->folder)) || !header ||
            header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
            header->cmsg_len != CMSG_LEN(sizeof(int) * n_fds))
                return raise_error(-EBADMSG, "command of %zd bytes, kind %u", n, ret_command->kind);
        for (int i = 0; i < _SPAWN_FDS; i++) {
                ret_fds[i] = -1;
                if (i < _SPAWN_FDS_ALWAYS || ret_command->optional_fds & 1U << i)
                        memcpy(&ret_fds[i], CMSG_DATA(header) + sizeof(int) * next++, sizeof(int));
        }
        return 1;
}

/* Returns the pid here, or -errno. In the worker it does not return. */
static pid_t fork_worker(const Zygote *zygote, const SpawnCommand *command, int fds[_SPAWN_FDS]) {
        bool has_cgroup = command->layers & layer_bit(LAYER_CGROUP);
        pid_t pid = confine_before_fork(command, fds);
        int r;

        if (pid == 0) {
                pid = fork_sibling(has_cgroup ? fds[SPAWN_FD_CGROUP] : -1);
                if (pid == 0)
                        worker_main(command, fds, zygote->supervisor);
        }
        r = confine_after_fork(command);
        if (r < 0)
                log_warning("the zygote keeps a worker's score: %s", strerror(-r));
        return pid;
}

static int spawn(const Zygote *zygote, const SpawnCommand *command, int fds[_SPAWN_FDS]) {
        pid_t pid = fork_worker(zygote, command, fds);

        for (int i = 0; i < _SPAWN_FDS; i++)
                close_fd(&fds[i]);
        if (pid < 0)
                return send_report(zygote, ZYGOTE_SPAWN_FAILED, command->slot, -pid, "");
        return send_report(zygote, ZYGOTE_SPAWNED, command->slot, pid, "");
}

static int serve(const Zygote *zygote) {
        static SpawnCommand command;
        int fds[_SPAWN_FDS];

        for (;;) {
                int r = receive_command(zygote->socket_fd, &command, fds);

                if (r <= 0)
                        return r;
                r = spawn(zygote, &command, fds);
                if (r < 0)
                        /* Nobody listens: the supervisor has gone, or has given this zygote up. */
                        return 0;
        }
}

int zygote_run(const ZygoteOptions *options) {
        Zygote zygote = {.socket_fd = options->socket_fd, .started_ns = clock_now_ns()};

        set_signals();
        if (secure(&zygote, options) < 0 || warm_up(&zygote, options) < 0)
                return 1;
        log_debug("ready after %lld ms", (long long) age_ms(&zygote));
        return serve(&zygote) < 0 ? 1 : 0;
}
