#include "pool/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"

#define ARGUMENTS_MAX 256
#define SOCKET_FD     3 /* the child's end, in the child */

struct Zygote {
        pid_t pid;
        int pidfd;
        int socket_fd;
};

/* Builds argv; the strings are borrowed. Returns -E2BIG when there are too many. */
static int build_arguments(const char *program, const TemplateConfig *config, const char *log_level,
                           const char **arguments) {
        size_t n = 0;

        if (config->n_imports * 2 + 16 > ARGUMENTS_MAX)
                return raise_error(-E2BIG, "template %s: too many imports", config->name);
        arguments[n++] = program;
        arguments[n++] = "--socket";
        arguments[n++] = "3";
        arguments[n++] = "--template";
        arguments[n++] = config->name;
        if (config->venv) {
                arguments[n++] = "--venv";
                arguments[n++] = config->venv;
        }
        for (size_t i = 0; i < config->n_imports; i++) {
                arguments[n++] = "--import";
                arguments[n++] = config->imports[i];
        }
        if (config->warm_up) {
                arguments[n++] = "--warm-up";
                arguments[n++] = config->warm_up;
        }
        if (config->prelude) {
                arguments[n++] = "--prelude";
                arguments[n++] = config->prelude;
        }
        if (log_level) {
                arguments[n++] = "--log-level";
                arguments[n++] = log_level;
        }
        arguments[n] = NULL;
        return 0;
}

/* Nothing of the server's environment is handed on but the time zone: it may hold secrets, and a
 * worker's memory and /proc/self/environ would show it. */
static int spawn_program(const char *program, const char **arguments, int socket_fd,
                         pid_t *ret_pid) {
        static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
        static char time_zone[128];
        char *environment[] = {path, lang, NULL, NULL};
        const char *tz = getenv("TZ");
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
         * zygote itself. */
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                             POSIX_SPAWN_SETSIGDEF);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setsigdefault(&attributes, &standard);

        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        (void) posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        (void) posix_spawn_file_actions_adddup2(&actions, socket_fd, SOCKET_FD);
        (void) posix_spawn_file_actions_addclosefrom_np(&actions, SOCKET_FD + 1);

        r = posix_spawn(ret_pid, program, &actions, &attributes, (char *const *) arguments,
                        environment);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) posix_spawnattr_destroy(&attributes);
        return r == 0 ? 0 : raise_error(-r, "start %s", program);
}

int zygote_new(const char *program, const TemplateConfig *config, const char *log_level,
               Zygote **ret_zygote) {
        _cleanup_(zygote_freep) Zygote *zygote = NULL;
        _autoclose_ int child_fd = -1, high_fd = -1;
        const char *arguments[ARGUMENTS_MAX];
        int fds[2];
        int r;

        r = build_arguments(program, config, log_level, arguments);
        if (r < 0)
                return r;
        zygote = calloc(1, sizeof(*zygote));
        if (!zygote)
                return raise_error(-ENOMEM, "allocate a zygote");
        *zygote = (Zygote){.pidfd = -1, .socket_fd = -1};

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return raise_errno("make the zygote's socket");
        zygote->socket_fd = fds[0];
        child_fd = fds[1];
        if (fcntl(zygote->socket_fd, F_SETFL, O_NONBLOCK) < 0)
                return raise_errno("make the zygote's socket non-blocking");
        /* dup2() onto the same number would keep its close-on-exec flag. */
        high_fd = fcntl(child_fd, F_DUPFD_CLOEXEC, SOCKET_FD + 1);
        if (high_fd < 0)
                return raise_errno("duplicate the zygote's socket");

        r = spawn_program(program, arguments, high_fd, &zygote->pid);
        if (r < 0)
                return r;
        zygote->pidfd = (int) syscall(SYS_pidfd_open, zygote->pid, 0);
        if (zygote->pidfd < 0)
                return raise_errno("open a pidfd of the zygote");
        *ret_zygote = take_ptr(zygote);
        return 0;
}

Zygote *zygote_free(Zygote *zygote) {
        int status;

        if (!zygote)
                return NULL;
        close_fd(&zygote->socket_fd);
        if (zygote->pid > 0) {
                /* It is our child and has not been waited for, so the number is still its own. */
                (void) kill(zygote->pid, SIGKILL);
                if (waitpid(zygote->pid, &status, 0) < 0)
                        log_warning("wait for zygote %d: %s", zygote->pid, strerror(errno));
        }
        close_fd(&zygote->pidfd);
        free(zygote);
        return NULL;
}

int zygote_fd(const Zygote *zygote) {
        return zygote->socket_fd;
}

int zygote_pidfd(const Zygote *zygote) {
        return zygote->pidfd;
}

pid_t zygote_pid(const Zygote *zygote) {
        return zygote->pid;
}

int zygote_receive(Zygote *zygote, ZygoteReport *ret_report) {
        ssize_t n;

        n = recv(zygote->socket_fd, ret_report, sizeof(*ret_report), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return ZYGOTE_NO_REPORT;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return ZYGOTE_GONE;
        if (n < 0)
                return raise_errno("read a report of zygote %d", zygote->pid);
        if (n < ZYGOTE_REPORT_HEAD)
                return raise_error(-EPROTO, "a report of zygote %d is %zd bytes long", zygote->pid,
                                   n);
        if ((size_t) n < sizeof(*ret_report))
                memset((uint8_t *) ret_report + n, 0, sizeof(*ret_report) - (size_t) n);
        ret_report->text[sizeof(ret_report->text) - 1] = '\0';
        return ZYGOTE_REPORT;
}

int zygote_spawn(Zygote *zygote, const SpawnCommand *command, const int fds[_SPAWN_FDS]) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * _SPAWN_FDS)];
        } control = {0};
        struct iovec body = {.iov_base = (void *) command, .iov_len = sizeof(*command)};
        struct msghdr message = {
                .msg_iov = &body,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
        };
        struct cmsghdr *header = &control.align;
        int sent[_SPAWN_FDS];
        size_t n = 0;

        for (int i = 0; i < _SPAWN_FDS; i++) {
                if (i < _SPAWN_FDS_ALWAYS || command->optional_fds & 1U << i)
                        sent[n++] = fds[i];
        }
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(header), sent, sizeof(int) * n);

        if (sendmsg(zygote->socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return errno == EAGAIN ? -EAGAIN
                                       : raise_errno("ask zygote %d for a worker", zygote->pid);
        return 0;
}
