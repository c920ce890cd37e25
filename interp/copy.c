#include "interp/copy.h"

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interp/compat.h"
#include "interp/confine.h"
#include "interp/fork.h"
#include "interp/runtime.h"
#include "wire/frame.h"
#include "wire/session.h"

typedef struct CopyOrder {
        ControlMessage text;
        int fds[_CONTROL_FDS];
        WireForkNotes notes;
} CopyOrder;

/* --- in both: the order --- */

static void close_order(CopyOrder *order) {
        for (int i = 0; i < _CONTROL_FDS; i++)
                close_fd(&order->fds[i]);
}

static bool is_text(const char *text, size_t size) {
        return memchr(text, 0, size) != NULL;
}

/* Returns 1; 0 when there is nothing to do, -EPIPE at the end; another -errno when the order cannot
 * be taken, most likely because the code has left no descriptor free for those that come with it.
 */
static int receive_order(CopyOrder *order) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * _CONTROL_FDS)];
        } control;
        struct iovec iov = {&order->text, sizeof(order->text)};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header;
        size_t n_fds;
        ssize_t n;

        for (int i = 0; i < _CONTROL_FDS; i++)
                order->fds[i] = -1;
        n = recvmsg(WORKER_FD_CONTROL, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n <= 0)
                return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
        header = CMSG_FIRSTHDR(&message);
        n_fds = header && header->cmsg_type == SCM_RIGHTS
                        ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                        : 0;
        if (n_fds > 0)
                memcpy(order->fds, CMSG_DATA(header), n_fds * sizeof(int));
        if (n != sizeof(order->text) || order->text.kind != CONTROL_FORK || n_fds > _CONTROL_FDS ||
            !is_text(order->text.directory, sizeof(order->text.directory)) ||
            !is_text(order->text.folder, sizeof(order->text.folder)))
                return -EBADMSG;
        return n_fds == _CONTROL_FDS ? 1 : -EMFILE;
}

static bool say(ControlKind kind, int64_t value) {
        ControlMessage text = {.kind = kind, .value = value};

        return send(WORKER_FD_CONTROL, &text, sizeof(text), MSG_NOSIGNAL) == sizeof(text);
}

static uint32_t count_other_threads(void) {
        PyInterpreterState *interpreter = PyInterpreterState_Get();
        uint32_t n = 0;

        for (PyThreadState *state = PyInterpreterState_ThreadHead(interpreter); state;
             state = PyThreadState_Next(state))
                n++;
        return n - 1;
}

/* --- in the copy: nothing here may take a lock of the C library before PyOS_AfterFork_Child(), and
 * so nothing may allocate: another thread of the source may have held it --- */

static _Noreturn void fail(int result_fd, const char *step, int error) {
        char text[256];
        struct {
                FrameHeader header;
                char text[sizeof(text)];
        } frame;
        const char *why = strerrorname_np(error);
        size_t size;

        (void) stpncpy(text, step, 128);
        text[128] = 0;
        (void) strcat(text, ": ");
        (void) strcat(text, why ? why : "unknown");
        size = strlen(text);
        frame.header = frame_header(RESULT_FAILED, size);
        memcpy(frame.text, text, size);
        (void) !write(result_fd, &frame, sizeof(frame.header) + size);
        _exit(WORKER_EXIT_UNCONFINED);
}

static int take_descriptors(CopyOrder *order) {
        static const struct {
                ControlFd from;
                int to, flags;
        } places[] = {
                {CONTROL_FD_RESULT, WORKER_FD_RESULT, O_CLOEXEC},
                {CONTROL_FD_REQUEST, WORKER_FD_REQUEST, O_CLOEXEC},
                {CONTROL_FD_CONTROL, WORKER_FD_CONTROL, O_CLOEXEC},
                {CONTROL_FD_STDOUT, STDOUT_FILENO, 0},
                {CONTROL_FD_STDERR, STDERR_FILENO, 0},
        };

        /* The code may have closed the very numbers that they are to have. */
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                int *fd = &order->fds[places[i].from];
                int moved =
                        *fd > STDERR_FILENO ? *fd : fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

                if (moved < 0)
                        return -errno;
                *fd = moved;
        }
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                int fd = order->fds[places[i].from];

                if (dup3(fd, places[i].to, places[i].flags) < 0)
                        return -errno;
        }
        close_order(order);
        return 0;
}

/*
 * Sockets, pipes and what is like them lead to the source, or to whom it talks with. They are not
 * closed: the objects of the code would close them again one day, when the number may be another
 * file's. Each becomes the end of a socket whose other end is closed.
 */
static int cut_off(WireForkNotes *notes) {
        _autoclose_ int dead_fd = -1;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        dead_fd = pair[0];
        (void) close(pair[1]);
        for (int fd = 0; fd < WORKER_FD_REQUEST; fd++) {
                struct stat status;

                if (fd == STDOUT_FILENO || fd == STDERR_FILENO || fd == dead_fd ||
                    fstat(fd, &status) < 0)
                        continue;
                if (S_ISREG(status.st_mode)) {
                        notes->open_files++;
                } else if (!S_ISCHR(status.st_mode) && !S_ISDIR(status.st_mode)) {
                        notes->sockets++;
                        if (dup3(dead_fd, fd, fd == STDIN_FILENO ? 0 : O_CLOEXEC) < 0)
                                return -errno;
                }
        }
        return 0;
}

/* The same folder of the new workspace, if it is there. */
static int enter_workspace(const char *from, const char *to) {
        char path[PATH_MAX + SESSION_PATH_SIZE];
        size_t length = strlen(from);

        if (getcwd(path, PATH_MAX) && strncmp(path, from, length) == 0 && path[length] == '/') {
                char below[PATH_MAX];

                (void) stpcpy(below, path + length);
                (void) stpcpy(stpcpy(path, to), below);
                if (strlen(path) < PATH_MAX && chdir(path) == 0)
                        return 0;
        }
        return chdir(to) < 0 ? -errno : 0;
}

/* snprintf() of glibc allocates nothing for formats like these. */
static int make_path(char path[SESSION_PATH_SIZE], const char *directory, const char *folder,
                     const char *name) {
        int n = snprintf(path, SESSION_PATH_SIZE, "%s%s%s", directory, folder, name);

        return n < 0 || n >= SESSION_PATH_SIZE ? -ENAMETOOLONG : 0;
}

static int enter_places(Worker *worker, const CopyOrder *order) {
        char home[SESSION_PATH_SIZE], temporary[SESSION_PATH_SIZE];
        int r = make_path(home, order->text.directory, "/work/", order->text.folder);

        if (r == 0)
                r = make_path(temporary, home, COPY_CONTAINER_SUFFIX "/", COPY_TEMPORARY);
        if (r == 0)
                r = enter_workspace(worker->home, home);
        if (r < 0)
                return r;
        memcpy(worker->home, home, sizeof(home));
        memcpy(worker->temporary, temporary, sizeof(temporary));
        return 0;
}

static int shut_off(Worker *worker, const CopyOrder *order, const char **ret_step) {
        Confinement confinement = {.command = worker->command, .parent = worker->parent};
        char container[SESSION_PATH_SIZE], packages[SESSION_PATH_SIZE];
        CopyPlaces places = {
                .work = worker->home,
                .container = container,
                .temporary = worker->temporary,
                .packages = packages,
                .is_of_copy = worker->is_copy,
        };
        int r = make_path(container, worker->home, COPY_CONTAINER_SUFFIX, "");

        if (r == 0)
                r = make_path(packages, order->text.directory, "/packages", "");
        return r < 0 ? r : confine_copy(&confinement, &places, ret_step);
}

static void become_copy(Worker *worker, CopyOrder *order) {
        const char *step = "descriptors";
        int r = take_descriptors(order);

        if (r < 0)
                fail(order->fds[CONTROL_FD_RESULT], step, -r);
        if (!say(CONTROL_HELLO, 0))
                fail(WORKER_FD_RESULT, "hello", errno);
        r = cut_off(&order->notes);
        if (r == 0) {
                step = "workspace";
                r = enter_places(worker, order);
        }
        if (r == 0)
                r = shut_off(worker, order, &step);
        if (r < 0)
                fail(WORKER_FD_RESULT, step, -r);
        worker->is_copy = true;
}

static void settle_copy(Worker *worker, const CopyOrder *order) {
        _pyowned_ PyObject *result = runtime_call(
                RUNTIME_BECOME_COPY, "(ssN)", worker->home, worker->temporary,
                PyUnicode_FromFormat("%s/packages/%u", order->text.directory, order->text.member));

        if (!result)
                fail(WORKER_FD_RESULT, "new random state", EINVAL);
        worker->report.is_ended = false; /* the last run's had */
        report_add(&worker->report, RESULT_READY, slice_of(&order->notes, sizeof(order->notes)));
        report_send(&worker->report);
}

/* --- in the source --- */

static bool answer(CopyOrder *order, int error) {
        close_order(order);
        return say(CONTROL_FORKED, error);
}

bool copy_on_control(Worker *worker) {
        CopyOrder order = {0};
        int r = receive_order(&order);
        pid_t pid, source_pid;

        if (r == 0)
                return true;
        if (r == -EPIPE)
                return false;
        if (r < 0)
                return answer(&order, -r);
        order.notes.threads = count_other_threads();
        source_pid = getpid();
        PyOS_BeforeFork();
        pid = fork_copy();
        if (pid == 0) {
                become_copy(worker, &order);
                worker->source_pid = source_pid;
                PyOS_AfterFork_Child();
                PyErr_Clear();
                settle_copy(worker, &order);
                return true;
        }
        PyOS_AfterFork_Parent();
        PyErr_Clear();
        return answer(&order, pid < 0 ? -pid : 0);
}
