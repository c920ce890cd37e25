#include "pool/program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kit/error.h"
#include "kit/log.h"

void arguments_add(Arguments *arguments, const char *word) {
        if (arguments->n == PROGRAM_ARGUMENTS_MAX - 1) {
                arguments->overflows = true;
                return;
        }
        arguments->of[arguments->n++] = word;
        arguments->of[arguments->n] = NULL;
}

void arguments_add_option(Arguments *arguments, const char *option, const char *value) {
        if (!value)
                return;
        arguments_add(arguments, option);
        arguments_add(arguments, value);
}

void program_add_views(const TemplateConfig *config, Arguments *arguments) {
        arguments_add_option(arguments, "--view", config->venv);
        for (size_t i = 0; i < config->n_read_only_paths; i++)
                arguments_add_option(arguments, "--view", config->read_only_paths[i]);
        arguments_add_option(arguments, "--data", config->data_path);
}

/* Nothing of the server's environment is handed on but the time zone: it may hold secrets, and a
 * worker's memory and /proc/self/environ would show it. */
static int spawn_program(const Arguments *arguments, const int *fds, size_t n_fds, pid_t *ret_pid) {
        static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
        static char time_zone[128];
        char *environment[] = {path, lang, NULL, NULL};
        const char *tz = getenv("TZ"), *program = arguments->of[0];
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, standard;
        int r;

        if (tz && (size_t) snprintf(time_zone, sizeof(time_zone), "TZ=%s", tz) < sizeof(time_zone))
                environment[2] = time_zone;

        (void) sigemptyset(&none);
        (void) sigfillset(&standard);
        (void) posix_spawnattr_init(&attributes);
        /* A session of its own keeps a terminal's Ctrl-C away: the server drains, and ends the
         * program itself. */
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                             POSIX_SPAWN_SETSIGDEF);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setsigdefault(&attributes, &standard);

        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        (void) posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        for (size_t i = 0; i < n_fds; i++)
                (void) posix_spawn_file_actions_adddup2(&actions, fds[i],
                                                        PROGRAM_SOCKET_FD + (int) i);
        (void) posix_spawn_file_actions_addclosefrom_np(&actions, PROGRAM_SOCKET_FD + (int) n_fds);

        r = posix_spawn(ret_pid, program, &actions, &attributes, (char *const *) arguments->of,
                        environment);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) posix_spawnattr_destroy(&attributes);
        return r == 0 ? 0 : raise_error(-r, "start %s", program);
}

/* Copies, out of the way of the numbers that they shall get: dup2() in the child would overwrite
 * one that is still needed, and onto the same number it would keep the close-on-exec flag. */
static int copy_high(const int *fds, size_t n, int *copies) {
        const int first = PROGRAM_INHERITED_FD + PROGRAM_INHERITED_MAX;

        for (size_t i = 0; i < n; i++) {
                copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, first);
                if (copies[i] < 0)
                        return raise_errno("duplicate a descriptor for a program");
        }
        return 0;
}

int program_start(const Arguments *arguments, const int *inherited, size_t n_inherited,
                  Program *ret_program) {
        _autoclose_ int ours = -1, child_fd = -1;
        int fds[1 + PROGRAM_INHERITED_MAX], copies[1 + PROGRAM_INHERITED_MAX], pair[2];
        size_t n = 1 + n_inherited;
        int r;

        assert(n_inherited <= PROGRAM_INHERITED_MAX);
        if (arguments->overflows)
                return raise_error(-E2BIG, "too many arguments for %s", arguments->of[0]);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return raise_errno("make a program's socket");
        ours = pair[0];
        child_fd = pair[1];
        if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
                return raise_errno("make a program's socket non-blocking");

        fds[0] = child_fd;
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        fds[i] = inherited[i - 1];
                copies[i] = -1;
        }
        *ret_program = PROGRAM_NONE;
        r = copy_high(fds, n, copies);
        if (r == 0)
                r = spawn_program(arguments, copies, n, &ret_program->pid);
        for (size_t i = 0; i < n; i++)
                close_fd(&copies[i]);
        if (r < 0)
                return r;
        ret_program->socket_fd = take_fd(ours);
        return 0;
}

void program_end(Program *program) {
        int status;

        close_fd(&program->socket_fd);
        if (program->pid > 0) {
                /* It is our child and has not been waited for, so the number is still its own. */
                (void) kill(program->pid, SIGKILL);
                if (waitpid(program->pid, &status, 0) < 0)
                        log_warning("wait for process %d: %s", program->pid, strerror(errno));
        }
        program->pid = 0;
}

int program_send(const Program *program, const void *message, size_t size, const int *fds,
                 size_t n_fds) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * PROGRAM_FDS_MAX)];
        } control = {0};
        struct iovec body = {.iov_base = (void *) message, .iov_len = size};
        struct msghdr head = {.msg_iov = &body, .msg_iovlen = 1};
        struct cmsghdr *header = &control.align;

        assert(n_fds <= PROGRAM_FDS_MAX);
        if (n_fds > 0) {
                head.msg_control = control.bytes;
                head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
        }
        if (sendmsg(program->socket_fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return errno == EAGAIN || errno == EPIPE
                               ? -errno
                               : raise_errno("send a command to process %d", program->pid);
        return 0;
}

static void close_all(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                close_fd(&fds[i]);
}

int program_receive(const Program *program, void *message, size_t size, size_t *ret_size, int *fds,
                    size_t n_fds_max, size_t *ret_n_fds) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * PROGRAM_FDS_MAX)];
        } control;
        int received[PROGRAM_FDS_MAX];
        struct iovec body = {.iov_base = message, .iov_len = size};
        struct msghdr head = {
                .msg_iov = &body,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        struct cmsghdr *header;
        size_t n_fds = 0;
        ssize_t n;

        n = recvmsg(program->socket_fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return PROGRAM_NO_MESSAGE;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return PROGRAM_GONE;
        if (n < 0)
                return raise_errno("read a report of process %d", program->pid);

        /* One sender, one header: all descriptors of a message come in one. */
        header = CMSG_FIRSTHDR(&head);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
                n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(received, CMSG_DATA(header), sizeof(int) * n_fds);
        }
        if (n_fds > n_fds_max || head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
                close_all(received, n_fds);
                return raise_error(-EPROTO, "a report of process %d has %zd bytes, %zu descriptors",
                                   program->pid, n, n_fds);
        }
        if (n_fds > 0)
                memcpy(fds, received, sizeof(int) * n_fds);
        *ret_n_fds = n_fds;
        *ret_size = (size_t) n;
        memset((uint8_t *) message + n, 0, size - (size_t) n);
        return PROGRAM_MESSAGE;
}
