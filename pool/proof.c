#include "pool/proof.h"

#include <assert.h>

#define RLIMITS      (1U << LAYER_RLIMITS)
#define CAPABILITIES (1U << LAYER_CAPABILITIES)
#define NOT_DUMPABLE (1U << LAYER_NOT_DUMPABLE)
#define FILTER       (1U << LAYER_SECCOMP)
#define LANDLOCK     (1U << LAYER_LANDLOCK)
#define OWN_UID      (1U << LAYER_UID)
#define USERS        (1U << LAYER_USER_NAMESPACE)
#define PIDS         (1U << LAYER_PID_NAMESPACE)
#define MOUNTS       (1U << LAYER_MOUNT_NAMESPACE)
#define NETWORK      (1U << LAYER_NET_NAMESPACE)
#define IPC          (1U << LAYER_IPC_NAMESPACE)
#define HOST_NAME    (1U << LAYER_UTS_NAMESPACE)

/* Rights over another process's memory: asked for by ptrace and by much of /proc. The kernel
 * compares users, user namespaces and Landlock domains (__ptrace_may_access() and its hooks). */
#define NO_TRACING (OWN_UID | USERS | LANDLOCK)

/* Landlock's versions, by what they began to keep in. */
#define ABI_FILES   1
#define ABI_TCP     4
#define ABI_SIGNALS 6 /* and abstract sockets */

typedef struct Defence {
        LayerMask any;                  /* each alone suffices */
        LayerMask together;             /* all of these do, together */
        LayerMask without_subprocesses; /* each alone suffices where there are none */
        LayerMask in_copies;            /* each alone suffices for a copy */
        int landlock_abi;               /* since when Landlock is one of them */
        ProofSubject subject;           /* the first that has this way */
} Defence;

static const Defence defences[_PROBES] = {
        [PROBE_READ_SHADOW] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_READ_SECRET] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_LIST_WORK_FOLDERS] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_LIST_PROCESSES] = {.any = MOUNTS | LANDLOCK, .landlock_abi = ABI_FILES},
        [PROBE_SERVER_ENVIRONMENT] = {.any = MOUNTS | NO_TRACING, .landlock_abi = ABI_FILES},
        [PROBE_SERVER_MEMORY] = {.any = MOUNTS | NO_TRACING, .landlock_abi = ABI_FILES},
        /* Who has capabilities looks into what is not dumpable, too. */
        [PROBE_NEIGHBOUR_MEMORY] = {.any = MOUNTS | NO_TRACING,
                                    .together = NOT_DUMPABLE | CAPABILITIES,
                                    .landlock_abi = ABI_FILES},
        [PROBE_WRITE_ROOT] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_WRITE_SYSTEM] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_WRITE_SHARED_FOLDER] = {.any = MOUNTS | LANDLOCK, .landlock_abi = ABI_FILES},
        /* No version of Landlock knows of modes. */
        [PROBE_CHANGE_MODE_OUTSIDE] = {.any = MOUNTS | OWN_UID},
        [PROBE_OPEN_DEVICE] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},
        [PROBE_KERNEL_SETTING] = {.any = MOUNTS | LANDLOCK | OWN_UID, .landlock_abi = ABI_FILES},

        [PROBE_INTERNET_SOCKET] = {.any = FILTER},
        [PROBE_CONNECT_SERVER] = {.any = FILTER | NETWORK | LANDLOCK, .landlock_abi = ABI_TCP},
        [PROBE_CONNECT_ABSTRACT] = {.any = FILTER | NETWORK | LANDLOCK,
                                    .landlock_abi = ABI_SIGNALS},
        [PROBE_CONNECT_NAMED] = {.any = FILTER | MOUNTS},
        [PROBE_PASS_DESCRIPTOR] = {.any = FILTER},

        /* A run with processes of its own may signal, so there the filter cannot help. */
        [PROBE_SIGNAL_SERVER] = {.any = PIDS | OWN_UID | LANDLOCK,
                                 .without_subprocesses = FILTER,
                                 .landlock_abi = ABI_SIGNALS},
        [PROBE_SIGNAL_ZYGOTE] = {.any = PIDS | OWN_UID | LANDLOCK,
                                 .without_subprocesses = FILTER,
                                 .landlock_abi = ABI_SIGNALS},
        [PROBE_SIGNAL_NEIGHBOUR] = {.any = PIDS | OWN_UID | LANDLOCK,
                                    .without_subprocesses = FILTER,
                                    .landlock_abi = ABI_SIGNALS},
        /* Whether the user may signal is only asked when the signal is sent. */
        [PROBE_OWN_PIPE_SIGNAL] = {.any = FILTER | PIDS},
        [PROBE_PIDFD_SERVER] = {.any = FILTER | PIDS},
        [PROBE_NEW_PROCESS] = {.without_subprocesses = FILTER},
        [PROBE_NEW_PROGRAM] = {.without_subprocesses = FILTER},
        [PROBE_OUTLIVE] = {.any = FILTER},

        [PROBE_THREAD_QUOTA] = {.any = RLIMITS},
        [PROBE_ADDRESS_QUOTA] = {.any = RLIMITS},
        [PROBE_FILE_QUOTA] = {.any = RLIMITS},
        [PROBE_DISK_QUOTA] = {.any = MOUNTS},
        [PROBE_LOCK_MEMORY] = {.any = FILTER, .together = RLIMITS | CAPABILITIES},
        [PROBE_RAISE_LIMIT] = {.any = CAPABILITIES | OWN_UID | USERS},

        [PROBE_GAIN_IDENTITY] = {.any = FILTER | OWN_UID},
        [PROBE_GAIN_CAPABILITY] = {.any = FILTER | CAPABILITIES | OWN_UID},
        [PROBE_BECOME_DUMPABLE] = {.any = FILTER},

        [PROBE_SERVER_SEGMENT] = {.any = FILTER | IPC},
        [PROBE_NEW_SEGMENT] = {.any = FILTER},
        [PROBE_MESSAGE_QUEUE] = {.any = FILTER | RLIMITS},
        [PROBE_ANONYMOUS_FILE] = {.any = FILTER},
        [PROBE_WATCH_FILES] = {.any = FILTER},
        [PROBE_SET_HOST_NAME] = {.any = FILTER | CAPABILITIES | OWN_UID},
        [PROBE_LEARN_HOST_NAME] = {.any = HOST_NAME},
        [PROBE_SET_CLOCK] = {.any = FILTER | CAPABILITIES | OWN_UID},
        [PROBE_IO_URING] = {.any = FILTER},
        /* Every worker closes what is not its own, whatever it takes. */
        [PROBE_INHERITED_DESCRIPTOR] = {.any = LAYERS_ALL, .landlock_abi = ABI_FILES},

        [PROBE_READ_OTHER_HOME] = {.any = MOUNTS | LANDLOCK | OWN_UID,
                                   .landlock_abi = ABI_FILES,
                                   .subject = PROOF_OF_SESSIONS},
        [PROBE_WRITE_OTHER_HOME] = {.any = MOUNTS | LANDLOCK | OWN_UID,
                                    .landlock_abi = ABI_FILES,
                                    .subject = PROOF_OF_SESSIONS},
        [PROBE_LIST_HOMES] = {.any = MOUNTS | LANDLOCK | OWN_UID,
                              .landlock_abi = ABI_FILES,
                              .subject = PROOF_OF_SESSIONS},
        [PROBE_WRITE_HOME] = {.any = MOUNTS | LANDLOCK | OWN_UID,
                              .landlock_abi = ABI_FILES,
                              .subject = PROOF_OF_SESSIONS},
        [PROBE_WRITE_PACKAGES] = {.any = MOUNTS | LANDLOCK | OWN_UID,
                                  .landlock_abi = ABI_FILES,
                                  .subject = PROOF_OF_SESSIONS},
        /* The first session of a home has all of /work, for its copies come from it; what is not
         * its own there belongs to root. */
        [PROBE_WRITE_BESIDE_WORKSPACE] = {.any = OWN_UID,
                                          .in_copies = LANDLOCK,
                                          .landlock_abi = ABI_FILES,
                                          .subject = PROOF_OF_SESSIONS},
        [PROBE_COPY_UNTOLD] = {.any = FILTER, .subject = PROOF_OF_SESSIONS},
        [PROBE_COPY_OTHERWISE] = {.any = FILTER, .subject = PROOF_OF_SESSIONS},
        [PROBE_OWN_LISTENER] = {.any = FILTER, .subject = PROOF_OF_SESSIONS},
        [PROBE_RECEIVE_DESCRIPTOR] = {.any = FILTER, .subject = PROOF_OF_SESSIONS},
        [PROBE_CONTROL_DESCRIPTOR] = {.any = FILTER, .subject = PROOF_OF_SESSIONS},
        /* A copy has the uid, the cell and the mounts of what it is a copy of. */
        [PROBE_READ_SOURCE] = {.any = LANDLOCK,
                               .landlock_abi = ABI_FILES,
                               .subject = PROOF_OF_COPIES},
        [PROBE_WRITE_SOURCE] = {.any = LANDLOCK,
                                .landlock_abi = ABI_FILES,
                                .subject = PROOF_OF_COPIES},
        [PROBE_WRITE_SOURCE_TEMPORARY] = {.any = LANDLOCK,
                                          .landlock_abi = ABI_FILES,
                                          .subject = PROOF_OF_COPIES},
        [PROBE_CHANGE_MODE_SOURCE] = {.any = FILTER, .subject = PROOF_OF_COPIES},
        [PROBE_SIGNAL_SOURCE] = {.any = FILTER | LANDLOCK,
                                 .landlock_abi = ABI_SIGNALS,
                                 .subject = PROOF_OF_COPIES},
        [PROBE_SOURCE_MEMORY] = {.any = MOUNTS | LANDLOCK,
                                 .together = NOT_DUMPABLE | CAPABILITIES,
                                 .landlock_abi = ABI_FILES,
                                 .subject = PROOF_OF_COPIES},
        /* It is the server that does not listen. */
        [PROBE_CONTROL_UNASKED] = {.any = LAYERS_ALL, .subject = PROOF_OF_SESSIONS},

        [PROBE_TRACE_SERVER] = {.any = FILTER | PIDS | NO_TRACING, .landlock_abi = ABI_FILES},
        [PROBE_READ_SERVER_MEMORY] = {.any = FILTER | PIDS | NO_TRACING, .landlock_abi = ABI_FILES},
        [PROBE_TAKE_DESCRIPTOR] = {.any = FILTER | PIDS | NO_TRACING, .landlock_abi = ABI_FILES},
        [PROBE_NEW_NAMESPACE] = {.any = FILTER},
        [PROBE_MOUNT] = {.any = FILTER | CAPABILITIES | OWN_UID},
        [PROBE_CHANGE_ROOT] = {.any = FILTER | CAPABILITIES | OWN_UID},
        [PROBE_KERNEL_KEYRING] = {.any = FILTER},
        [PROBE_BPF] = {.any = FILTER},
        [PROBE_PERFORMANCE_EVENTS] = {.any = FILTER},
        [PROBE_USERFAULTFD] = {.any = FILTER},
};

LayerMask proof_defenders(Probe probe, const ProofClaim *claim) {
        const Defence *defence = &defences[probe];
        LayerMask mask = defence->any;

        assert(probe < _PROBES);
        if (claim->subject < defence->subject)
                return 0;
        if (claim->subject == PROOF_OF_COPIES)
                mask |= defence->in_copies;
        if (!claim->subprocesses)
                mask |= defence->without_subprocesses;
        if (claim->landlock_abi < defence->landlock_abi)
                mask &= ~LANDLOCK;
        mask &= claim->layers;
        if (defence->together && (claim->layers & defence->together) == defence->together)
                mask |= defence->together;
        return mask;
}

ProbeSet proof_attempts(const ProofClaim *claim) {
        ProbeSet attempts = {0};

        for (unsigned i = 0; i < _PROBES; i++) {
                if (proof_defenders((Probe) i, claim))
                        probe_add(&attempts, (Probe) i);
        }
        return attempts;
}

void proof_judge(const ProbeAnswer *answer, const ProofClaim *claim, ProofResult *ret_result) {
        *ret_result = (ProofResult){.holds = true};

        for (unsigned i = 0; i < _PROBES; i++) {
                LayerMask defenders = proof_defenders((Probe) i, claim);

                if (!defenders || answer->outcomes[i] == PROBE_SKIPPED)
                        continue;
                ret_result->tried++;
                if (answer->outcomes[i] > 0) {
                        ret_result->stopped++;
                        if (defences[i].any != LAYERS_ALL)
                                ret_result->proven |= defenders;
                } else if (ret_result->holds) {
                        ret_result->holds = false;
                        ret_result->broken = (Probe) i;
                }
        }
}
