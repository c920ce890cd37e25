/* Who a worker is, and what it may become: capabilities, ids, no_new_privs, not dumpable. */

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/confine_steps.h"

/* --- capabilities --- */

/* A process without CAP_SETPCAP cannot give up what it might be given by a program it executes; but
 * one that is not root may count on no_new_privs. */
static int excuse(int error) {
        return error == EPERM && geteuid() != 0 ? 0 : -error;
}

static int drop_bounding_set(void) {
        for (int capability = 0;; capability++) {
                int is_there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

                /* EINVAL: above the last that this kernel knows. */
                if (is_there < 0)
                        return 0;
                if (is_there && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        return excuse(errno);
        }
}

/* The kernel drops one capability at a time, each with a copy of the credentials: 41 of them take
 * longer than all other steps but the filter. The zygote executes nothing, so it can do without. */
void confine_bounding_set_inherit(void) {
        static bool is_done;

        if (!is_done)
                (void) drop_bounding_set();
        is_done = true;
}

/* What a program may ever get by execve(2) (a process's own since Linux 2.6.25). It is empty by
 * inheritance, except that whoever enters a user namespace starts with a full one. */
int confine_bounding_set_drop(Confinement *confinement) {
        return drop_bounding_set();
}

/*
 * For good: uid 0 gives no capability at execve(2), a change of ids neither takes nor gives any
 * (which is why the sets are emptied by hand, later), none is kept over a change of ids, none
 * becomes ambient. Linux 2.6.26; ambient 4.3.
 */
int confine_securebits_lock(Confinement *confinement) {
        unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                             SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                             SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

        return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? excuse(errno) : 0;
}

/* Permitted, effective and inheritable; what is not inheritable cannot stay ambient (Linux 4.3). */
int confine_capabilities_drop(Confinement *confinement) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[2] = {{0}}, found[2];

        if (syscall(SYS_capset, &header, none) < 0 || syscall(SYS_capget, &header, found) < 0)
                return -errno;
        return memcmp(found, none, sizeof(none)) == 0 ? 0 : -EPERM;
}

/* --- ids --- */

/* A user and a group that no other slot has, and no further groups. Older than Linux 2.6. */
int confine_identity_take(Confinement *confinement) {
        uid_t uid = confinement->command->uid, real, effective, saved;
        gid_t gid = confinement->command->gid, real_group, effective_group, saved_group;

        if (uid == 0 || gid == 0)
                return -EINVAL;
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        if (getresuid(&real, &effective, &saved) < 0 ||
            getresgid(&real_group, &effective_group, &saved_group) < 0)
                return -errno;
        if (real != uid || effective != uid || saved != uid || real_group != gid ||
            effective_group != gid || saved_group != gid || getgroups(0, NULL) != 0)
                return -EPERM;
        return 0;
}

/* Only once there is no CAP_SETUID any more, which a locked NO_SETUID_FIXUP has kept until then. */
int confine_identity_check(Confinement *confinement) {
        return setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0 ? -EPERM : 0;
}

/* --- what execve(2) and neighbours may do --- */

/* No set-user-id program and no file's capabilities give rights (Linux 3.5). The zygote leaves it
 * to the worker: once taken, it stays. */
int confine_no_new_privileges_take(Confinement *confinement) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* No core file, no ptrace, no /proc/PID/mem and no pidfd_getfd(2) for a neighbour of the same uid
 * (Linux 2.6.13). */
int confine_not_dumpable_take(Confinement *confinement) {
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_not_dumpable_leave(Confinement *confinement) {
        return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}
