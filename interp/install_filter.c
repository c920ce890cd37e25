#include "interp/install_filter.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this machine"
#endif

/* x32: other numbers for the same calls. No architecture of ours has any from here on. */
#define FOREIGN_NUMBERS 0x40000000

/* Newer than the headers of Debian 12, or some of them; the numbers are those of all architectures
 * (include/uapi/asm-generic/unistd.h). */
enum {
        NUMBER_CLONE3 = 435,
        NUMBER_PIDFD_GETFD = 438,
        NUMBER_PROCESS_MADVISE = 440,
        NUMBER_MEMFD_SECRET = 447,
};

static const unsigned refused[] = {
        /* New programs, and other processes. */
        SYS_execve,
        SYS_execveat,
#if defined(__x86_64__)
        SYS_fork,
        SYS_vfork,
#endif
        SYS_kill,
        SYS_tkill,
        SYS_rt_sigqueueinfo,
        SYS_rt_tgsigqueueinfo,
        SYS_pidfd_send_signal,
        SYS_pidfd_open,
        NUMBER_PIDFD_GETFD,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        NUMBER_PROCESS_MADVISE,
        SYS_kcmp,
        SYS_setpriority,
        /* Where it is, and who. */
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_setns,
        SYS_unshare,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_fsmount,
        SYS_fsconfig,
        SYS_fspick,
        SYS_open_by_handle_at,
        SYS_name_to_handle_at,
        SYS_setuid,
        SYS_setgid,
        SYS_setresuid,
        SYS_setresgid,
        SYS_setreuid,
        SYS_setregid,
        SYS_setgroups,
        /* Parts of the kernel that no installation needs. */
        SYS_bpf,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_kexec_load,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_quotactl,
        SYS_acct,
        SYS_personality,
        SYS_shmget,
        SYS_msgget,
        SYS_semget,
        SYS_mq_open,
        SYS_memfd_create,
        NUMBER_MEMFD_SECRET,
        SYS_fanotify_init,
};

/* Netlink is how getaddrinfo() learns which addresses this machine has. */
static const unsigned families[] = {AF_INET, AF_INET6, AF_NETLINK};

#define CODE_MAX (2 * N_ELEMENTS(refused) + 40)

typedef struct Code {
        struct sock_filter of[CODE_MAX];
        unsigned short n;
} Code;

static void add(Code *code, struct sock_filter instruction) {
        assert(code->n < CODE_MAX);
        code->of[code->n++] = instruction;
}

static void load(Code *code, size_t offset) {
        add(code, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offset));
}

static void answer(Code *code, uint32_t action) {
        add(code, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, action));
}

/* The next instruction is taken if the test holds (or does not), else skipped. */
static void when(Code *code, uint16_t test, uint32_t value) {
        add(code, (struct sock_filter) BPF_JUMP(BPF_JMP | test | BPF_K, value, 0, 1));
}

static void when_not(Code *code, uint16_t test, uint32_t value) {
        add(code, (struct sock_filter) BPF_JUMP(BPF_JMP | test | BPF_K, value, 1, 0));
}

static void add_refusals(Code *code) {
        for (size_t i = 0; i < N_ELEMENTS(refused); i++) {
                when(code, BPF_JEQ, refused[i]);
                answer(code, SECCOMP_RET_ERRNO | EPERM);
        }
        /* Its flags are behind a pointer; glibc falls back on clone(). */
        when(code, BPF_JEQ, NUMBER_CLONE3);
        answer(code, SECCOMP_RET_ERRNO | ENOSYS);
}

/* clone: threads only; socket: of these families. The kernel looks at 32 bits of both. */
static void add_conditions(Code *code) {
        size_t n = N_ELEMENTS(families);

        /* Loads the flags, or jumps over the test of them. */
        add(code, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4));
        load(code, offsetof(struct seccomp_data, args[0]));
        when_not(code, BPF_JSET, CLONE_THREAD);
        answer(code, SECCOMP_RET_ERRNO | EPERM);
        answer(code, SECCOMP_RET_ALLOW);

        add(code, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0,
                                                (uint8_t) (2 + 2 * n)));
        load(code, offsetof(struct seccomp_data, args[0]));
        for (size_t i = 0; i < n; i++) {
                when(code, BPF_JEQ, families[i]);
                answer(code, SECCOMP_RET_ALLOW);
        }
        answer(code, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

int install_filter_take(void) {
        Code code = {0};
        struct sock_fprog program;

        load(&code, offsetof(struct seccomp_data, arch));
        when_not(&code, BPF_JEQ, OWN_ARCHITECTURE);
        answer(&code, SECCOMP_RET_KILL_PROCESS);
        load(&code, offsetof(struct seccomp_data, nr));
        when(&code, BPF_JGE, FOREIGN_NUMBERS);
        answer(&code, SECCOMP_RET_KILL_PROCESS);
        add_refusals(&code);
        add_conditions(&code);
        answer(&code, SECCOMP_RET_ALLOW);

        program = (struct sock_fprog){.len = code.n, .filter = code.of};
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
