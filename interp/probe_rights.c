/* probe_rights: attempts at being somebody else, and at what takes rights. */

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "interp/probe_attempts.h"

/* By number: the functions of glibc tell all threads. */
int probe_gain_identity(const ProbeRequest *request) {
        if (syscall(SYS_setresuid, 0, 0, 0) == 0 || syscall(SYS_setuid, 0) == 0 ||
            syscall(SYS_setresgid, 0, 0, 0) == 0)
                return PROBE_SUCCEEDED;
        return errno;
}

static int add_capability(unsigned capability) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[2];
        unsigned bit = 1U << capability % 32, at = capability / 32;

        /* Where the call itself is refused, nothing is known to be there. */
        memset(sets, 0, sizeof(sets));
        (void) syscall(SYS_capget, &header, sets);
        sets[at].permitted |= bit;
        sets[at].effective |= bit;
        return syscall(SYS_capset, &header, sets) < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_gain_capability(const ProbeRequest *request) {
        static const unsigned wanted[] = {CAP_SYS_ADMIN, CAP_DAC_OVERRIDE, CAP_SYS_PTRACE, CAP_KILL,
                                          CAP_SETUID};
        int outcome = EPERM;

        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
                outcome = add_capability(wanted[i]);
                if (outcome == PROBE_SUCCEEDED)
                        return outcome;
        }
        return outcome;
}

int probe_become_dumpable(const ProbeRequest *request) {
        int before = prctl(PR_GET_DUMPABLE);

        if (prctl(PR_SET_DUMPABLE, 1) < 0)
                return errno;
        if (before == 0)
                (void) prctl(PR_SET_DUMPABLE, 0);
        return PROBE_SUCCEEDED;
}

/* The name that it has. */
int probe_set_host_name(const ProbeRequest *request) {
        struct utsname name;

        if (uname(&name) < 0)
                return errno;
        return sethostname(name.nodename, strlen(name.nodename)) < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_learn_host_name(const ProbeRequest *request) {
        struct utsname name;

        if (!request->host_name[0])
                return PROBE_SKIPPED;
        if (uname(&name) < 0)
                return errno;
        return strcmp(name.nodename, request->host_name) == 0 ? PROBE_SUCCEEDED : ENOENT;
}

/* The speed that it has: telling takes no right, setting does. */
int probe_set_clock(const ProbeRequest *request) {
        struct timex clock = {0};

        if (adjtimex(&clock) < 0)
                clock.tick = 1000000 / sysconf(_SC_CLK_TCK);
        clock.modes = ADJ_TICK;
        if (adjtimex(&clock) < 0 && clock_adjtime(CLOCK_REALTIME, &clock) < 0)
                return errno;
        return PROBE_SUCCEEDED;
}

/* --- forbidden calls --- */

static int try_namespace(void) {
        return unshare(CLONE_NEWUSER) < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_new_namespace(const ProbeRequest *request) {
        return probe_in_child(try_namespace);
}

int probe_mount(const ProbeRequest *request) {
        int outcome = PROBE_SUCCEEDED;

        (void) mkdir(PROBE_NAME, 0700);
        if (mount("none", PROBE_NAME, "tmpfs", MS_NODEV | MS_NOSUID, NULL) < 0)
                outcome = errno;
        else
                (void) umount2(PROBE_NAME, MNT_DETACH);
        (void) rmdir(PROBE_NAME);
        return outcome;
}

static int try_root(void) {
        return chroot(".") < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_change_root(const ProbeRequest *request) {
        return probe_in_child(try_root);
}
