#!/usr/bin/python3
"""Turns podman's system call profile, from the file named first, into what Docker's default profile allows: without
CAP_SYS_ADMIN no namespaces, no mounts; clone3 answers ENOSYS, so that libraries fall back to clone, whose flags are looked at.

Docker's profile lets each of these through only to a container with the capability (moby/profiles, seccomp/default.json).
"""

import json
import sys

ADMINISTRATION = {
    "clone3", "clone", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root",
    "setns", "umount", "umount2", "unshare", "bpf", "perf_event_open", "quotactl", "setdomainname", "sethostname", "syslog",
    "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
}
NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS and its like, as Docker masks them


def docker_like(profile):
    rules = []
    for rule in profile["syscalls"]:
        names = [name for name in rule["names"] if name not in ADMINISTRATION]
        if names:
            rules.append({**rule, "names": names})
    rules.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
                  "args": [{"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]})
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    return {**profile, "syscalls": rules}


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        json.dump(docker_like(json.load(file)), sys.stdout)
