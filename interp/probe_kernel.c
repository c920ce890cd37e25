/* probe_kernel: attempts at objects of the kernel that a run has no use for. */

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/probe_attempts.h"
#include "kit/cleanup.h"

/* Closes what an attempt has opened. */
static int outcome_of(long fd) {
        if (fd < 0)
                return errno;
        (void) close((int) fd);
        return PROBE_SUCCEEDED;
}

int probe_server_segment(const ProbeRequest *request) {
        void *memory;

        if (request->segment == 0)
                return PROBE_SKIPPED;
        memory = shmat((int) request->segment - 1, NULL, SHM_RDONLY);
        if (memory == (void *) -1)
                return errno;
        (void) shmdt(memory);
        return PROBE_SUCCEEDED;
}

int probe_new_segment(const ProbeRequest *request) {
        int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);

        if (id < 0)
                return errno;
        (void) shmctl(id, IPC_RMID, NULL);
        return PROBE_SUCCEEDED;
}

int probe_message_queue(const ProbeRequest *request) {
        static const char name[] = PROBE_NAME; /* the call takes no "/" */
        int fd = (int) syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, NULL);

        if (fd >= 0)
                (void) syscall(SYS_mq_unlink, name);
        return outcome_of(fd);
}

int probe_anonymous_file(const ProbeRequest *request) {
        return outcome_of(memfd_create(PROBE_NAME, MFD_CLOEXEC));
}

int probe_watch_files(const ProbeRequest *request) {
        return outcome_of(inotify_init1(IN_CLOEXEC));
}

int probe_io_uring(const ProbeRequest *request) {
        struct io_uring_params parameters = {0};

        return outcome_of(syscall(SYS_io_uring_setup, 1, &parameters));
}

/* --- forbidden calls --- */

/* Into a keyring that ends with the process. */
int probe_kernel_keyring(const ProbeRequest *request) {
        return syscall(SYS_add_key, "user", PROBE_NAME, "x", 1, KEY_SPEC_PROCESS_KEYRING) < 0
                       ? errno
                       : PROBE_SUCCEEDED;
}

/* "return 0", the smallest program there is. */
int probe_bpf(const ProbeRequest *request) {
        static const struct bpf_insn program[] = {
                {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
                {.code = BPF_JMP | BPF_EXIT},
        };
        static const char license[] = "GPL";
        union bpf_attr attributes = {
                .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                .insns = (uint64_t) (uintptr_t) program,
                .insn_cnt = N_ELEMENTS(program),
                .license = (uint64_t) (uintptr_t) license,
        };

        return outcome_of(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes)));
}

int probe_performance_events(const ProbeRequest *request) {
        struct perf_event_attr attributes = {
                .type = PERF_TYPE_SOFTWARE,
                .size = sizeof(attributes),
                .config = PERF_COUNT_SW_TASK_CLOCK,
        };

        return outcome_of(
                syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

int probe_userfaultfd(const ProbeRequest *request) {
        return outcome_of(syscall(SYS_userfaultfd, O_CLOEXEC));
}
