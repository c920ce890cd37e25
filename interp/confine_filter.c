#include "interp/confine_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"
#include "kit/cleanup.h"

/*
 * By number, since prctl(PR_SET_SECCOMP) is what the filter never allows, and seccomp(2) has no
 * function in glibc. No flags: there is one thread, so nothing to bring in step (TSYNC), and
 * SPEC_ALLOW would switch off a defence against Spectre.
 */
static int load(const struct sock_filter *code, size_t size) {
        struct sock_fprog program = {.len = (unsigned short) size,
                                     .filter = (struct sock_filter *) code};

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

static int load_threads(void) {
        struct sock_filter code[N_ELEMENTS(filter_threads)];

        memcpy(code, filter_threads, sizeof(code));
        for (size_t i = 0; i < N_ELEMENTS(filter_threads_own_pid); i++)
                code[filter_threads_own_pid[i]].k = (uint32_t) getpid();
        return load(code, N_ELEMENTS(code));
}

int confine_session_calls(void) {
        struct sock_filter code[N_ELEMENTS(filter_session)];

        memcpy(code, filter_session, sizeof(code));
        for (size_t i = 0; i < N_ELEMENTS(filter_session_own_pid); i++)
                code[filter_session_own_pid[i]].k = (uint32_t) getpid();
        return load(code, N_ELEMENTS(code));
}

int confine_system_calls(bool subprocesses) {
        int r = subprocesses ? load(filter_subprocesses, N_ELEMENTS(filter_subprocesses))
                             : load_threads();

        if (r < 0)
                return r;
        return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER ? 0 : -EPERM;
}

int confine_modes(void) {
        /* The filter on top sees to the architecture. An errno of 0 is a call that has worked. */
        static const struct sock_filter no_modes[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fchmod, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fchmodat, 1, 0),
#ifdef SYS_chmod
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_chmod, 0, 1),
#else
                BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
#endif
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };

        return load(no_modes, N_ELEMENTS(no_modes));
}

int confine_run_system_calls(bool subprocesses) {
        /* The filter beneath has seen to the architecture. */
        static const struct sock_filter no_more_filters[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };

        return subprocesses ? load(no_more_filters, N_ELEMENTS(no_more_filters)) : load_threads();
}
