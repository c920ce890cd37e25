#include "pool/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/error.h"

/* --- control sockets --- */

int control_open(int *ret_ours, int *ret_theirs) {
        _autoclose_ int ours = -1, theirs = -1;
        int fds[2], on = 1;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return raise_errno("make a control socket");
        ours = fds[0];
        theirs = fds[1];
        /* The flag is of the open file, and each end is one of its own. */
        if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 ||
            setsockopt(ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
                return raise_errno("set up a control socket");
        *ret_ours = take_fd(ours);
        *ret_theirs = take_fd(theirs);
        return 0;
}

/* What came along: at most one descriptor is kept, and the kernel's word on the sender. */
static void take_ancillary(struct msghdr *message, ControlNews *news) {
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
             header = CMSG_NXTHDR(message, header)) {
                size_t size = header->cmsg_len - CMSG_LEN(0);

                if (header->cmsg_level != SOL_SOCKET)
                        continue;
                if (header->cmsg_type == SCM_CREDENTIALS && size == sizeof(struct ucred)) {
                        struct ucred sender;

                        memcpy(&sender, CMSG_DATA(header), sizeof(sender));
                        news->sender = sender.pid;
                } else if (header->cmsg_type == SCM_RIGHTS) {
                        for (size_t i = 0; i < size / sizeof(int); i++) {
                                close_fd(&news->fd);
                                memcpy(&news->fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                        }
                }
        }
}

static bool may_be_sent(const ControlMessage *message, ControlNews *news) {
        switch ((ControlKind) message->kind) {
        case CONTROL_LISTENER:
                return true;
        case CONTROL_FORKED:
                news->error = (int) message->value;
                return message->value >= 0 && message->value < 4096 && news->fd < 0;
        case CONTROL_HELLO:
                return news->fd < 0;
        case CONTROL_FORK:
                break;
        }
        return false;
}

int control_receive(int control_fd, ControlNews *ret_news) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        } control;
        ControlMessage text;
        struct iovec iov = {&text, sizeof(text)};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ControlNews news = {.fd = -1};
        ssize_t n;

        do
                n = recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
        take_ancillary(&message, &news);
        news.kind = (ControlKind) text.kind;
        /* A message of no bytes looks like the end, and is no message either. */
        if (n == 0) {
                close_fd(&news.fd);
                return -EPIPE;
        }
        if (n != sizeof(text) || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || news.sender <= 0 ||
            !may_be_sent(&text, &news)) {
                close_fd(&news.fd);
                return -EBADMSG;
        }
        *ret_news = news;
        return 1;
}

/* --- attempts to make a process --- */

int fork_listener_take(ForkListener *listener, int fd) {
        _autoclose_ int taken = fd;
        uint64_t no_attempt = 0;

        fork_listener_close(listener);
        /* Any other kind of file does not know the question. */
        if (ioctl(taken, SECCOMP_IOCTL_NOTIF_ID_VALID, &no_attempt) == 0 || errno != ENOENT)
                return -EINVAL;
        listener->fd = take_fd(taken);
        return 0;
}

/* Just what interp/fork.c asks for. Registers, which nobody can change under the kernel's eyes once
 * the call is made. */
static bool is_copy(const struct seccomp_data *data) {
        uint32_t flags = (uint32_t) data->args[0];

        return data->nr == SYS_clone && data->args[1] == 0 &&
               (flags & ~(uint32_t) (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) ==
                       (CLONE_PARENT | SIGCHLD);
}

/*
 * SECCOMP_IOCTL_NOTIF_RECV waits when nothing has been attempted since it last returned. It does
 * not after poll(2) has seen an attempt: the kernel counts attempts, and does not count down for
 * one that has vanished because a signal has come to its thread (kernel/seccomp.c); then this is
 * ENOENT. The signal restarts the call, which is a new attempt.
 */
int fork_listener_answer(ForkListener *listener) {
        struct pollfd waiting = {.fd = listener->fd, .events = POLLIN};
        struct seccomp_notif attempt = {0};
        struct seccomp_notif_resp answer = {0};
        bool is_allowed;

        if (poll(&waiting, 1, 0) < 0)
                return -errno;
        if (!(waiting.revents & POLLIN))
                return waiting.revents & (POLLHUP | POLLERR | POLLNVAL) ? -EPIPE : 0;
        if (ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_RECV, &attempt) < 0)
                return errno == ENOENT || errno == EINTR ? 0 : -errno;
        is_allowed = listener->allowed > 0 && (pid_t) attempt.pid == listener->allowed &&
                     is_copy(&attempt.data);
        answer.id = attempt.id;
        if (is_allowed)
                answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
                answer.error = -EPERM;
        if (ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0)
                return errno == ENOENT || errno == EINPROGRESS ? 0 : -errno;
        if (is_allowed)
                listener->allowed = 0;
        else if (++listener->refused >= FORK_REFUSALS_MAX)
                return -EDQUOT;
        return 0;
}

void fork_listener_close(ForkListener *listener) {
        close_fd(&listener->fd);
        listener->allowed = 0;
        listener->refused = 0;
}

/* --- a copy --- */

static int send_order(const CopyOrder *order, const int fds[_CONTROL_FDS]) {
        ControlMessage text = {.kind = CONTROL_FORK, .member = order->member};
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * _CONTROL_FDS)];
        } control = {0};
        struct iovec iov = {&text, sizeof(text)};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        ssize_t n;

        if (strlen(order->folder) >= sizeof(text.folder) ||
            strlen(order->directory) >= sizeof(text.directory))
                return raise_error(-ENAMETOOLONG, "the folder of a copy: %s", order->folder);
        (void) stpcpy(text.folder, order->folder);
        (void) stpcpy(text.directory, order->directory);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * _CONTROL_FDS);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * _CONTROL_FDS);
        do
                n = sendmsg(order->source_control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        /* Whose end is closed does not listen either. */
        if (n < 0)
                return errno == EPIPE || errno == ECONNRESET ? -EAGAIN : -errno;
        return 0;
}

int copy_order(Copy *copy, const CopyOrder *order) {
        int child_fds[_SPAWN_FDS], fds[_CONTROL_FDS], r;
        _autoclose_ int theirs = -1;

        *copy = COPY_NONE;
        if (order->listener->fd < 0 || order->source_control_fd < 0)
                return -ENOTSUP;
        r = control_open(&copy->control_fd, &theirs);
        if (r < 0)
                return r;
        r = worker_open(&copy->worker, child_fds);
        if (r < 0) {
                copy_close(copy, order->listener);
                return r;
        }
        fds[CONTROL_FD_REQUEST] = child_fds[SPAWN_FD_REQUEST];
        fds[CONTROL_FD_RESULT] = child_fds[SPAWN_FD_RESULT];
        fds[CONTROL_FD_STDOUT] = child_fds[SPAWN_FD_STDOUT];
        fds[CONTROL_FD_STDERR] = child_fds[SPAWN_FD_STDERR];
        fds[CONTROL_FD_CONTROL] = theirs;
        r = send_order(order, fds);
        close_child_fds(child_fds);
        if (r < 0) {
                copy_close(copy, order->listener);
                return r;
        }
        copy->source = order->listener->allowed = order->source;
        return 0;
}

/* A child of ours that has not been waited for keeps its number, so it is the one that spoke. */
static bool is_child(pid_t pid) {
        siginfo_t info;

        return waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

int copy_receive(Copy *copy, pid_t *ret_pid) {
        ControlNews news;
        int r = control_receive(copy->control_fd, &news);

        if (r <= 0)
                return r == -EPIPE ? r : r < 0 ? -EPROTO : 0;
        close_fd(&news.fd);
        if (news.kind != CONTROL_HELLO || news.sender == copy->source || !is_child(news.sender))
                return -EPROTO;
        *ret_pid = news.sender;
        return 1;
}

void copy_close(Copy *copy, ForkListener *listener) {
        if (copy->source != 0 && listener->allowed == copy->source)
                listener->allowed = 0;
        worker_close(&copy->worker);
        close_fd(&copy->control_fd);
        *copy = COPY_NONE;
}
