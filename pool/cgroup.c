#include "pool/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/cgroup_folder.h"
#include "pool/cgroup_server.h"

#define SUPERVISOR "supervisor"

/* As long as the kernel takes a path (PATH_MAX). */
#define FOLDER_PATH_MAX 4096

/* Always taken together; others than these are not needed. */
#define CONTROLLERS_ON  "+memory +pids"
#define CONTROLLERS_OFF "-memory -pids"

static int none(CgroupTree *tree, int error, const char *tried) {
        cgroup_tree_close(tree);
        tree->error = -error;
        tree->tried = tried;
        return error;
}

/* --- version 2 --- */

static bool offers_controllers(int own_fd) {
        _autoclose_ int fd = openat(own_fd, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
        char text[512], *rest = NULL;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        unsigned found = 0;

        if (n <= 0)
                return false;
        text[n] = '\0';
        for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
                found += strcmp(word, "memory") == 0 || strcmp(word, "pids") == 0;
        return found == 2;
}

static int enable_controllers(int fd) {
        return cgroup_write(fd, "cgroup.subtree_control", CONTROLLERS_ON);
}

/* A group whose controllers are passed on to groups below holds no process itself ("no internal
 * processes", cgroup-v2.rst), but for the root of all. */
static int move_to_leaf(CgroupTree *tree) {
        int fd = tree->folders[CGROUP_UNIFIED].fd, r;

        if (mkdirat(fd, SUPERVISOR, 0755) < 0)
                return -errno;
        r = cgroup_write(fd, SUPERVISOR "/cgroup.procs", "0");
        tree->moved = r == 0;
        return r;
}

static int open_unified(const CgroupFiles *files, CgroupTree *tree) {
        CgroupFolder *folder = &tree->folders[CGROUP_UNIFIED];
        char path[FOLDER_PATH_MAX];
        int r;

        r = cgroup_find(files, NULL, path, sizeof(path));
        if (r < 0)
                return none(tree, r, NULL);
        folder->own_fd = cgroup_folder_open(AT_FDCWD, path);
        if (folder->own_fd < 0)
                return none(tree, folder->own_fd, "open the server's control group");
        if (!offers_controllers(folder->own_fd))
                return none(tree, -ENOENT, "find memory and pids in cgroup.controllers");
        r = cgroup_server_make(folder);
        if (r < 0)
                return none(tree, r, "make a control group below the server's own");
        tree->version = 2;
        r = enable_controllers(folder->own_fd);
        if (r == -EBUSY) {
                r = move_to_leaf(tree);
                if (r < 0)
                        return none(tree, r, "move the server into a control group of its own");
                r = enable_controllers(folder->own_fd);
        }
        if (r < 0)
                return none(tree, r,
                            "pass memory and pids on (cgroup.subtree_control; EBUSY: other "
                            "processes are in the server's control group)");
        r = enable_controllers(folder->fd);
        return r < 0 ? none(tree, r, "pass memory and pids on to slots (cgroup.subtree_control)")
                     : 0;
}

/* What open_unified() has done, backwards. Where it cannot be undone, the next start removes it. */
static void leave_unified(CgroupTree *tree) {
        CgroupFolder *folder = &tree->folders[CGROUP_UNIFIED];

        if (tree->moved) {
                (void) cgroup_write(folder->fd, "cgroup.subtree_control", CONTROLLERS_OFF);
                (void) cgroup_write(folder->own_fd, "cgroup.subtree_control", CONTROLLERS_OFF);
                (void) cgroup_write(folder->own_fd, "cgroup.procs", "0");
        }
        (void) unlinkat(folder->fd, SUPERVISOR, AT_REMOVEDIR);
        tree->moved = false;
}

/* --- version 1 --- */

static int open_each(const CgroupFiles *files, CgroupTree *tree) {
        static const char *const controllers[_CGROUP_HIERARCHIES] = {"memory", "pids"};
        char paths[_CGROUP_HIERARCHIES][FOLDER_PATH_MAX];

        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                int r = cgroup_find(files, controllers[i], paths[i], sizeof(paths[i]));

                if (r < 0)
                        return none(tree, r, NULL);
        }
        if (strcmp(paths[CGROUP_MEMORY], paths[CGROUP_PIDS]) == 0)
                return none(tree, -EXDEV, "find memory and pids in hierarchies of their own");
        tree->version = 1;
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                CgroupFolder *folder = &tree->folders[i];
                int r;

                folder->own_fd = cgroup_folder_open(AT_FDCWD, paths[i]);
                if (folder->own_fd < 0)
                        return none(tree, folder->own_fd, "open the server's control group");
                r = cgroup_server_make(folder);
                if (r < 0)
                        return none(tree, r, "make a control group below the server's own");
        }
        return 0;
}

/* --- the tree --- */

int cgroup_tree_open_at(const CgroupFiles *files, CgroupTree *ret_tree) {
        CgroupTree second = CGROUP_TREE_NONE;

        *ret_tree = CGROUP_TREE_NONE;
        if (open_unified(files, ret_tree) == 0)
                return 0;
        /* Hosts in transition have both, and the controllers in one of them. The failure that is
         * told is of the version that there is more of. */
        if (open_each(files, &second) == 0 || second.tried || !ret_tree->tried)
                *ret_tree = second;
        if (ret_tree->version == 0 && !ret_tree->tried)
                ret_tree->tried = "find the server's control group";
        return 0;
}

int cgroup_tree_open(CgroupTree *ret_tree) {
        return cgroup_tree_open_at(&cgroup_files_of_self, ret_tree);
}

void cgroup_tree_close(CgroupTree *tree) {
        if (tree->version == 2)
                leave_unified(tree);
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++)
                cgroup_server_remove(&tree->folders[i]);
        *tree = CGROUP_TREE_NONE;
}

/* --- slots --- */

static void slot_name(unsigned slot, char *ret_name, size_t size) {
        (void) snprintf(ret_name, size, "slot-%u", slot);
}

static int make_and_open(const CgroupFolder *folder, const char *name, int *ret_fd) {
        if (mkdirat(folder->fd, name, 0755) < 0 && errno != EEXIST)
                return raise_errno("make control group %s", name);
        *ret_fd = cgroup_folder_open(folder->fd, name);
        return *ret_fd < 0 ? raise_error(*ret_fd, "open control group %s", name) : 0;
}

static int open_file(int fd, const char *name, int flags, int *ret_fd) {
        *ret_fd = openat(fd, name, flags | O_CLOEXEC);
        return *ret_fd < 0 ? raise_errno("open %s of a control group", name) : 0;
}

static int set_up_unified(const CgroupTree *tree, const char *name, SlotCgroup *group) {
        int r;

        r = make_and_open(&tree->folders[CGROUP_UNIFIED], name, &group->directory_fd);
        if (r == 0)
                r = open_file(group->directory_fd, "memory.max", O_WRONLY, &group->limit_fd);
        if (r == 0)
                r = open_file(group->directory_fd, "memory.events", O_RDONLY, &group->events_fd);
        if (r < 0)
                return r;
        /* Without swap, or before Linux 4.19, there is no such file. */
        (void) cgroup_write(group->directory_fd, "memory.swap.max", "0");
        (void) cgroup_write(group->directory_fd, "memory.oom.group", "1");
        r = cgroup_write_number(group->directory_fd, "pids.max", group->processes);
        return r < 0 ? raise_error(r, "limit the processes of %s", name) : 0;
}

static int set_up_each(const CgroupTree *tree, const char *name, SlotCgroup *group) {
        _autoclose_ int memory_fd = -1, pids_fd = -1;
        int r;

        r = make_and_open(&tree->folders[CGROUP_MEMORY], name, &memory_fd);
        if (r == 0)
                r = make_and_open(&tree->folders[CGROUP_PIDS], name, &pids_fd);
        if (r == 0)
                r = open_file(memory_fd, "cgroup.procs", O_WRONLY, &group->memory_procs_fd);
        if (r == 0)
                r = open_file(pids_fd, "cgroup.procs", O_WRONLY, &group->pids_procs_fd);
        if (r == 0)
                r = open_file(memory_fd, "memory.limit_in_bytes", O_WRONLY, &group->limit_fd);
        if (r == 0)
                r = open_file(memory_fd, "memory.oom_control", O_RDONLY, &group->events_fd);
        if (r < 0)
                return r;
        /* Only where the kernel counts swap. */
        group->swap_limit_fd =
                openat(memory_fd, "memory.memsw.limit_in_bytes", O_WRONLY | O_CLOEXEC);
        r = cgroup_write_number(pids_fd, "pids.max", group->processes);
        return r < 0 ? raise_error(r, "limit the processes of %s", name) : 0;
}

int cgroup_make_slot(const CgroupTree *tree, unsigned slot, uint64_t memory_bytes,
                     unsigned processes, SlotCgroup *ret_group) {
        SlotCgroup group = SLOT_CGROUP_NONE;
        char name[24];
        int r;

        slot_name(slot, name, sizeof(name));
        group.processes = processes;
        /* What a new one has: as good as none. */
        group.memory_bytes = UINT64_MAX;
        r = tree->version == 2 ? set_up_unified(tree, name, &group)
                               : set_up_each(tree, name, &group);
        if (r == 0)
                r = cgroup_limit_memory(&group, memory_bytes);
        if (r < 0) {
                cgroup_remove_slot(tree, slot, &group);
                return r;
        }
        group.oom_kills = cgroup_read_count(group.events_fd, "oom_kill");
        *ret_group = group;
        return 0;
}

void cgroup_remove_slot(const CgroupTree *tree, unsigned slot, SlotCgroup *group) {
        char name[24];

        close_fd(&group->directory_fd);
        close_fd(&group->memory_procs_fd);
        close_fd(&group->pids_procs_fd);
        close_fd(&group->limit_fd);
        close_fd(&group->swap_limit_fd);
        close_fd(&group->events_fd);
        slot_name(slot, name, sizeof(name));
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                if (tree->folders[i].fd >= 0 &&
                    unlinkat(tree->folders[i].fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        log_warning("cannot remove control group %s: %s", name, strerror(errno));
        }
}

static int write_limit(int fd, uint64_t bytes) {
        char text[24];
        int n = snprintf(text, sizeof(text), "%ju", (uintmax_t) bytes);

        if (fd >= 0 && write(fd, text, (size_t) n) < 0)
                return raise_errno("limit the memory of a control group to %s", text);
        return 0;
}

int cgroup_limit_memory(SlotCgroup *group, uint64_t memory_bytes) {
        /* Version 1 wants memory's limit never to be above that of memory and swap together. */
        bool raise = memory_bytes > group->memory_bytes;
        int r;

        if (memory_bytes == group->memory_bytes)
                return 0;
        r = write_limit(raise ? group->swap_limit_fd : group->limit_fd, memory_bytes);
        if (r == 0)
                r = write_limit(raise ? group->limit_fd : group->swap_limit_fd, memory_bytes);
        if (r == 0)
                group->memory_bytes = memory_bytes;
        return r;
}

bool cgroup_was_out_of_memory(SlotCgroup *group) {
        uint64_t now = cgroup_read_count(group->events_fd, "oom_kill");
        bool was = now > group->oom_kills;

        group->oom_kills = now;
        return was;
}

void cgroup_kill(const CgroupTree *tree, unsigned slot, const SlotCgroup *group) {
        int fds[_CGROUP_HIERARCHIES] = {-1, -1};
        int limit_fd;
        char name[24];

        slot_name(slot, name, sizeof(name));
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                if (tree->folders[i].fd >= 0)
                        fds[i] = cgroup_folder_open(tree->folders[i].fd, name);
        }
        limit_fd = tree->version == 2 ? fds[CGROUP_UNIFIED] : fds[CGROUP_PIDS];
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                if (fds[i] >= 0)
                        cgroup_folder_kill(fds[i], limit_fd, group->processes);
        }
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++)
                close_fd(&fds[i]);
}

int cgroup_is_empty(const CgroupTree *tree, unsigned slot) {
        char name[24];

        slot_name(slot, name, sizeof(name));
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                _autoclose_ int fd = -1;
                int r;

                if (tree->folders[i].fd < 0)
                        continue;
                fd = cgroup_folder_open(tree->folders[i].fd, name);
                if (fd < 0)
                        return raise_error(fd, "open control group %s", name);
                r = cgroup_folder_is_empty(fd);
                if (r < 0)
                        return raise_error(r, "list the processes of %s", name);
                if (r == 0)
                        return 0;
        }
        return 1;
}
