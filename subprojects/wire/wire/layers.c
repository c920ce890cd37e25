#include "wire/layers.h"

#include <assert.h>
#include <string.h>

static const LayerAbout layers[_LAYERS] = {
        [LAYER_RLIMITS] = {"rlimits",
                           "bounds processor time, address space, file size, descriptors, threads",
                           "2.6.36"},
        [LAYER_NO_NEW_PRIVILEGES] = {"no_new_privs", "set-uid programs give no rights", "3.5"},
        [LAYER_CAPABILITIES] = {"capabilities",
                                "no capability, none to be had, and no way for uid 0 to get one",
                                "4.3"},
        [LAYER_NOT_DUMPABLE] = {"not_dumpable",
                                "memory and descriptors are closed to others of the same user",
                                "2.6.13"},
        [LAYER_SECCOMP] = {"seccomp", "only system calls on a list reach the kernel", "4.14"},
        [LAYER_LANDLOCK] = {"landlock",
                            "no file but those named; no signal and no socket to the outside",
                            "5.13; signals and abstract sockets 6.12"},
        [LAYER_UID] = {"uid", "each worker has a user and a group id of its own", "2.6"},
        [LAYER_USER_NAMESPACE] = {"userns", "ids and process counts of its own", "5.14"},
        [LAYER_PID_NAMESPACE] = {"pidns", "sees no process but its own; all of them die together",
                                 "5.3"},
        [LAYER_MOUNT_NAMESPACE] = {"mountns", "a minimal read-only system and private folders",
                                   "5.12"},
        [LAYER_NET_NAMESPACE] = {"netns", "no network device, not even loopback", "3.0"},
        [LAYER_IPC_NAMESPACE] = {"ipcns", "no System V objects and message queues of the host",
                                 "3.0"},
        [LAYER_UTS_NAMESPACE] = {"utsns", "a host name that says nothing", "3.0"},
        [LAYER_CGROUP_NAMESPACE] = {"cgroupns", "control groups of the host have no names", "4.6"},
        [LAYER_CGROUP] = {"cgroup", "memory and processes are bounded and counted together",
                          "2.6.24; 5.14 for all of version 2"},
        [LAYER_OOM_SCORE] = {"oom_score", "out of memory, the kernel takes workers first",
                             "2.6.36"},
        [LAYER_CORE_SCHEDULING] = {"core_scheduling",
                                   "shares no core's hardware threads with other runs", "5.14"},
};

const LayerAbout *layer_about(Layer layer) {
        assert(layer < _LAYERS);
        return &layers[layer];
}

Layer layer_by_name(const char *name, size_t length) {
        for (unsigned i = 0; i < _LAYERS; i++) {
                if (strlen(layers[i].name) == length && memcmp(layers[i].name, name, length) == 0)
                        return (Layer) i;
        }
        return _LAYERS;
}
