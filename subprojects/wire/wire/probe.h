#pragma once
/*
 * probe: how a server proves that its layers hold. An ordinary spare, made as every other one, is
 * given REQUEST_PROBE instead of a run: it tries to break out in each way of the list that it is
 * asked to, and says with RESULT_PROBED what the kernel answered. pool/proof.c knows which layers
 * make which attempt fail; the worker does not judge.
 *
 * After RESULT_PROBED, when PROBE_FORBIDDEN_CALL was asked for, it makes one system call whose
 * answer is its end (SIGSYS), which the supervisor sees in the wait status; else it exits with 0.
 *
 * The worker of a session (SPAWN_SESSION) is asked to try the ways that only sessions have, too,
 * and so is a copy of it, which was made before, by the way that all copies are (wire/session.h).
 */

#include <stdbool.h>
#include <stdint.h>

/* In this order in RESULT_PROBED. Each is one attempt at something that must not work. */
#define PROBE_LIST(X)                                                                              \
        X(READ_SHADOW, "read /etc/shadow")                                                         \
        X(READ_SECRET, "read a file of the server's user")                                         \
        X(LIST_WORK_FOLDERS, "list the folders of other runs")                                     \
        X(LIST_PROCESSES, "list other processes in /proc")                                         \
        X(SERVER_ENVIRONMENT, "read the server's environment in /proc")                            \
        X(SERVER_MEMORY, "open the server's memory in /proc")                                      \
        X(NEIGHBOUR_MEMORY, "open another worker's memory in /proc")                               \
        X(WRITE_ROOT, "create a file in /")                                                        \
        X(WRITE_SYSTEM, "create a file in /usr")                                                   \
        X(WRITE_SHARED_FOLDER, "create a file in a folder of the server that all may write to")    \
        X(CHANGE_MODE_OUTSIDE, "change the mode of a file of the server's user")                   \
        X(OPEN_DEVICE, "open the memory or the log of the kernel")                                 \
        X(KERNEL_SETTING, "open a setting of the kernel for writing")                              \
        X(INTERNET_SOCKET, "make an internet socket")                                              \
        X(CONNECT_SERVER, "connect to a port of the server on loopback")                           \
        X(CONNECT_ABSTRACT, "connect to an abstract socket of the server")                         \
        X(CONNECT_NAMED, "connect to a named socket of the server")                                \
        X(PASS_DESCRIPTOR, "send a descriptor through a socket")                                   \
        X(SIGNAL_SERVER, "send signal 0 to the server")                                            \
        X(SIGNAL_ZYGOTE, "send signal 0 to the zygote")                                            \
        X(SIGNAL_NEIGHBOUR, "send signal 0 to another worker")                                     \
        X(OWN_PIPE_SIGNAL, "have the kernel signal the server for a pipe (F_SETOWN)")              \
        X(PIDFD_SERVER, "open a pidfd of the server")                                              \
        X(NEW_PROCESS, "fork")                                                                     \
        X(NEW_PROGRAM, "execute a program")                                                        \
        X(OUTLIVE, "live on when the server dies (PR_SET_PDEATHSIG)")                              \
        X(THREAD_QUOTA, "start more threads than the limit")                                       \
        X(ADDRESS_QUOTA, "map more memory than the limit")                                         \
        X(FILE_QUOTA, "write a file larger than the limit")                                        \
        X(DISK_QUOTA, "fill more disk than the cell has")                                          \
        X(LOCK_MEMORY, "lock memory")                                                              \
        X(RAISE_LIMIT, "raise a resource limit")                                                   \
        X(GAIN_IDENTITY, "become uid 0")                                                           \
        X(GAIN_CAPABILITY, "take a capability")                                                    \
        X(BECOME_DUMPABLE, "make itself dumpable")                                                 \
        X(SERVER_SEGMENT, "attach a System V shared memory segment of the server")                 \
        X(NEW_SEGMENT, "make a System V shared memory segment")                                    \
        X(MESSAGE_QUEUE, "open a POSIX message queue")                                             \
        X(ANONYMOUS_FILE, "make an anonymous file (memfd_create)")                                 \
        X(WATCH_FILES, "watch files (inotify)")                                                    \
        X(SET_HOST_NAME, "set the host name")                                                      \
        X(LEARN_HOST_NAME, "learn the host's name")                                                \
        X(SET_CLOCK, "set the clock")                                                              \
        X(IO_URING, "set up an io_uring")                                                          \
        X(INHERITED_DESCRIPTOR, "use a descriptor that is none of its own")                        \
        X(READ_OTHER_HOME, "read a file of another session")                                       \
        X(WRITE_OTHER_HOME, "create a file in the workspace of another session")                   \
        X(LIST_HOMES, "list the homes of sessions")                                                \
        X(WRITE_HOME, "create a file beside the record of its session")                            \
        X(WRITE_PACKAGES, "create a file among the packages of its session")                       \
        X(WRITE_BESIDE_WORKSPACE, "create a file beside its workspace")                            \
        X(COPY_UNTOLD, "copy itself without having been told to")                                  \
        X(COPY_OTHERWISE, "make a process by a clone(2) that is almost a copy's")                  \
        X(OWN_LISTENER, "listen to its own system calls (SECCOMP_FILTER_FLAG_NEW_LISTENER)")       \
        X(RECEIVE_DESCRIPTOR, "receive a descriptor through a socket of its own")                  \
        X(CONTROL_DESCRIPTOR, "send a descriptor through its control socket")                      \
        X(READ_SOURCE, "read a file of the session that it is a copy of")                          \
        X(WRITE_SOURCE, "create a file in the workspace of the session that it is a copy of")      \
        X(WRITE_SOURCE_TEMPORARY, "create a temporary file of the session that it is a copy of")   \
        X(CHANGE_MODE_SOURCE, "change the mode of a file of the session that it is a copy of")     \
        X(SIGNAL_SOURCE, "send signal 0 to the session that it is a copy of")                      \
        X(SOURCE_MEMORY, "open the memory of the session that it is a copy of in /proc")           \
        X(CONTROL_UNASKED, "be heard on its control socket without having been asked")             \
        X(TRACE_SERVER, "ptrace the server")                                                       \
        X(READ_SERVER_MEMORY, "process_vm_readv from the server")                                  \
        X(TAKE_DESCRIPTOR, "pidfd_getfd from the server")                                          \
        X(NEW_NAMESPACE, "unshare a user namespace")                                               \
        X(MOUNT, "mount a tmpfs")                                                                  \
        X(CHANGE_ROOT, "chroot")                                                                   \
        X(KERNEL_KEYRING, "add a key")                                                             \
        X(BPF, "load a bpf program")                                                               \
        X(PERFORMANCE_EVENTS, "open a performance counter")                                        \
        X(USERFAULTFD, "make a userfaultfd")

typedef enum Probe {
#define X(name, text) PROBE_##name,
        PROBE_LIST(X)
#undef X
                _PROBES
} Probe;

/* One bit each. */
typedef struct ProbeSet {
        uint64_t words[2];
} ProbeSet;
_Static_assert(_PROBES <= 8 * sizeof(ProbeSet), "one bit each");

static inline void probe_add(ProbeSet *set, Probe probe) {
        set->words[probe / 64] |= (uint64_t) 1 << probe % 64;
}

static inline bool probe_is_in(const ProbeSet *set, Probe probe) {
        return set->words[probe / 64] >> probe % 64 & 1;
}

/* The first of those whose call ends the process when the system call filter is on; they are then
 * PROBE_SKIPPED, but for the one that is asked for by PROBE_FORBIDDEN_CALL. */
#define PROBE_FIRST_FORBIDDEN PROBE_TRACE_SERVER

enum {
        PROBE_SUCCEEDED = 0, /* the attempt worked */
        PROBE_SKIPPED = -1,  /* not asked for, or there was nothing to try it on */
};                           /* above 0: the errno that stopped it */

typedef enum ProbeFlag {
        PROBE_FORBIDDEN_CALL = 1 << 0, /* end with the forbidden call of that number below */
        PROBE_IN_SESSION = 1 << 1,     /* of a session; what is said of homes below is set */
        PROBE_IN_COPY = 1 << 2,        /* besides, a copy of the first session of its home */
} ProbeFlag;

/* Body of REQUEST_PROBE. What is 0 or empty is not there to be tried. Texts end with a NUL. */
typedef struct ProbeRequest {
        ProbeSet attempts;
        uint32_t flags;     /* of ProbeFlag */
        uint32_t forbidden; /* the Probe to end with */
        int32_t server_pid, zygote_pid, neighbour_pid;
        int32_t source_pid;     /* a copy knows, and sets it by itself */
        uint32_t port;          /* TCP, loopback: the server listens there */
        uint32_t tasks;         /* more threads than these must not be had */
        uint32_t segment;       /* id of a System V segment of the server, plus 1 */
        uint32_t member;        /* its number in its home */
        uint64_t memory_bytes;  /* nor more address space … */
        uint64_t file_bytes;    /* … larger files … */
        uint64_t disk_bytes;    /* … and more disk */
        char abstract_name[32]; /* without the leading NUL */
        char socket_path[108];
        char secret_path[212]; /* a file of mode 0600 of the server's user */
        char shared_path[212]; /* a folder of mode 0777 */
        char work_path[212];   /* the folders of all slots */
        char host_name[72];    /* as the server knows it */
        char home_path[212];   /* of its home, as it sees it: empty in a mount namespace */
        char homes_path[212];  /* the folder of all homes, as the server sees it */
        char own_home[24];     /* names in there: of its own, … */
        char other_home[24];   /* … and of another one, of a session with a file "secret" */
} ProbeRequest;
_Static_assert(sizeof(ProbeRequest) == 1400, "no padding on the wire");

/* Body of RESULT_PROBED. */
typedef struct ProbeAnswer {
        int32_t outcomes[_PROBES];
} ProbeAnswer;

/* "read /etc/shadow" */
static inline const char *probe_text(Probe probe) {
        static const char *const texts[_PROBES] = {
#define X(name, text) [PROBE_##name] = text,
                PROBE_LIST(X)
#undef X
        };

        return texts[probe];
}
