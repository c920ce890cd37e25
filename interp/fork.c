#include "interp/fork.h"

#include <dirent.h>
#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/error.h"

/*
 * Why not fork(3): it can only make children, and a worker has to be a sibling, so that the
 * supervisor waits for it and it outlives this process. What glibc's fork (2.36,
 * sysdeps/nptl/_Fork.c and nptl/fork.c) does around the system call, and what becomes of it here:
 *   - the tid that it caches in struct pthread is refreshed in the child: CLONE_CHILD_SETTID to the
 * address that the kernel already knows from set_tid_address(2) does the same;
 *   - the robust list is registered anew, since the kernel forgets it: done below;
 *   - the locks of malloc, of stdio and of the loader are taken before and released or reset after,
 * for the sake of other threads that might hold them: there is no other thread, which zygote.c has
 * made sure of;
 *   - handlers of pthread_atfork(3) run. They stop and restart the threads of libraries (OpenBLAS,
 * jemalloc), and there are none. OpenSSL 3 needs no handler: its generator notices that getpid()
 * has changed, and is stirred as well;
 *   - rseq(2) stays registered in a child that does not share the memory.
 *
 * Why not CPython's PyOS_BeforeFork() and PyOS_AfterFork_*(): they exist for processes with
 * threads. In the child they make the locks of the GIL, of imports and of the runtime anew, which
 * another thread might have held, forget threads and interpreters that are gone, and run what
 * os.register_at_fork() was given. There is one thread and one interpreter, no lock is held, and
 * the thread goes on with the same pthread_self(), by which CPython knows it. Leaving them out
 * saves a worker some two hundred page faults. The callbacks that matter are run by runtime.py
 * (after_fork).
 */
static void *tid_address;
static void *robust_list;
static size_t robust_list_size;

int fork_count_threads(void) {
        DIR *directory = opendir("/proc/self/task");
        struct dirent *entry;
        int count = 0;

        if (!directory)
                return raise_errno("open /proc/self/task");
        while ((entry = readdir(directory)))
                count += entry->d_name[0] != '.';
        (void) closedir(directory);
        return count;
}

void fork_prepare(void) {
        /* Kernels without CONFIG_CHECKPOINT_RESTORE do not tell. Then only the cached tid is stale
         * in a child; glibc uses it for pthread_kill() and for mutexes of the kinds that remember
         * their owner. */
        if (prctl(PR_GET_TID_ADDRESS, &tid_address) < 0)
                tid_address = NULL;
        if (syscall(SYS_get_robust_list, 0, &robust_list, &robust_list_size) < 0)
                robust_list = NULL;
}

static long raw_clone(unsigned long flags, void *child_tid) {
#if defined(__x86_64__)
        return syscall(SYS_clone, flags, NULL, NULL, child_tid, NULL);
#elif defined(__aarch64__) || defined(__arm__) || defined(__riscv) || defined(__powerpc64__)
        return syscall(SYS_clone, flags, NULL, NULL, NULL, child_tid);
#else
#error "the order of clone(2)'s arguments is not known for this architecture"
#endif
}

/* Linux 5.7, as only clone3(2) takes a control group. It refuses a signal for a sibling, whose end
 * is told to the parent by the signal of ours; that is SIGCHLD. */
static long raw_clone_into(unsigned long flags, void *child_tid, int cgroup_fd) {
        struct clone_args arguments = {
                .flags = flags | CLONE_INTO_CGROUP,
                .child_tid = (uint64_t) (uintptr_t) child_tid,
                .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
                .cgroup = (uint64_t) cgroup_fd,
        };

        return syscall(SYS_clone3, &arguments, sizeof(arguments));
}

static pid_t fork_with(unsigned long flags, int cgroup_fd) {
        long pid;

        if (tid_address)
                flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;

        pid = cgroup_fd < 0 ? raw_clone(flags | SIGCHLD, tid_address)
                            : raw_clone_into(flags, tid_address, cgroup_fd);
        if (pid == 0) {
                if (robust_list)
                        (void) syscall(SYS_set_robust_list, robust_list, robust_list_size);
                return 0;
        }
        return pid < 0 ? -errno : (pid_t) pid;
}

static pid_t raised(pid_t pid) {
        return pid < 0 ? raise_error(pid, "clone") : pid;
}

pid_t fork_sibling(int cgroup_fd) {
        return raised(fork_with(CLONE_PARENT, cgroup_fd));
}

pid_t fork_child(void) {
        return raised(fork_with(0, -1));
}

pid_t fork_copy(void) {
        return fork_with(CLONE_PARENT, -1);
}
