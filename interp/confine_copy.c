/* The worker of a session that may be copied, and how a copy shuts itself off from its source. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/confine_steps.h"
#include "kit/cleanup.h"
#include "wire/session.h"

#define ARGUMENT(number) (offsetof(struct seccomp_data, args) + (number) * sizeof(uint64_t))
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half of an argument is first");

static int load(const struct sock_filter *code, size_t size, unsigned flags) {
        struct sock_fprog program = {.len = (unsigned short) size,
                                     .filter = (struct sock_filter *) code};
        long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

        return fd < 0 ? -errno : (int) fd;
}

/*
 * Beneath the filter on top, which sees to the architecture and to every other way of making a
 * process: each clone(2) that is not a thread waits for the supervisor (Linux 5.5), and a death
 * signal cannot be taken away. Of several filters the strictest answer counts. Where the supervisor
 * cannot be asked, because this kernel does not know how or a filter of a container is listened to
 * already (EBUSY), such a clone(2) fails with ENOSYS.
 */
static const struct sock_filter attempts[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 4, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(1)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIGKILL, 0, 2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};

static int send_listener(int fd) {
        ControlMessage text = {.kind = CONTROL_LISTENER};
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {&text, sizeof(text)};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
                control.align = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
        }
        do
                n = sendmsg(WORKER_FD_CONTROL, &message, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

int confine_session_attempts(Confinement *confinement) {
        const SpawnCommand *command = confinement->command;
        _autoclose_ int listener_fd = -1;
        int r;

        if (!(command->flags & SPAWN_SESSION))
                return 0;
        if (confine_takes(confinement, LAYER_SECCOMP) && !(command->flags & SPAWN_SUBPROCESSES)) {
                listener_fd =
                        load(attempts, N_ELEMENTS(attempts), SECCOMP_FILTER_FLAG_NEW_LISTENER);
                r = listener_fd < 0 ? load(attempts, N_ELEMENTS(attempts), 0) : 0;
                if (r < 0)
                        return r;
        }
        return send_listener(listener_fd);
}

/* --- in a copy --- */

static size_t answer(struct sock_filter *code, unsigned call, unsigned error) {
        code[0] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
        code[1] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
        return 2;
}

/*
 * The members of a home have one uid, and no version of Landlock (Linux 6.18) guards modes and
 * times: by path, a copy could take its source the right to its own files. What changes them by
 * path does nothing, and says that it has worked, since whoever copies a file makes these calls.
 * By descriptor they work: a copy has descriptors of its own files only.
 */
int confine_attributes_of_others(void) {
        static const unsigned by_path[] = {
#ifdef SYS_chmod
                SYS_chmod,    SYS_utime, SYS_utimes, SYS_futimesat,
#endif
                SYS_fchmodat,
        };
        static const struct sock_filter times[] = {
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_utimensat, 0, 5),
                /* Without a path: futimens(3). */
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(1)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(1) + 4),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_filter code[2 * N_ELEMENTS(by_path) + N_ELEMENTS(times) + 3];
        size_t n = 1;

        code[0] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                offsetof(struct seccomp_data, nr));
        for (size_t i = 0; i < N_ELEMENTS(by_path); i++)
                n += answer(&code[n], by_path[i], 0);
        if (!confine_landlock_guards_sizes())
                n += answer(&code[n], SYS_truncate, EPERM);
        memcpy(&code[n], times, sizeof(times));
        return load(code, n + N_ELEMENTS(times), 0);
}

/* The filter that it has from its source knows the source's number, not its own. */
static int refuse_signals(void) {
        static const struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 5, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 4, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tkill, 3, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigqueueinfo, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_send_signal, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };

        return load(code, N_ELEMENTS(code), 0);
}

int confine_copy(const Confinement *confinement, const CopyPlaces *places,
                 const char **ret_failed_step) {
        int r;

        *ret_failed_step = "death with the supervisor";
        r = confine_die_with_supervisor(confinement);
        if (r < 0)
                return r;
        *ret_failed_step = "a session of its own";
        if (setsid() < 0)
                return -errno;
        *ret_failed_step = "landlock";
        r = confine_landlock_copy(confinement, places);
        if (r < 0 || places->is_of_copy || !confine_takes(confinement, LAYER_SECCOMP))
                return r;
        *ret_failed_step = "system calls";
        r = confine_attributes_of_others();
        return r < 0 ? r : refuse_signals();
}
