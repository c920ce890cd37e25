/*
 * Landlock: a worker reaches no file but those that it is told of, no TCP port, and no process and
 * no abstract socket outside of it. Linux 5.13; what came later is used where the kernel has it,
 * and nothing is asked of a kernel that it does not know.
 *
 * The calls have no function in glibc, and the headers of Debian 12 are older than most of the
 * rights, so both stand here, after include/uapi/linux/landlock.h of Linux 6.15.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/confine_steps.h"
#include "kit/cleanup.h"
#include "kit/error.h"
#include "wire/session.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1
/* ABI 7, Linux 6.15: a run that tries forbidden things in a loop shall not fill the audit log. */
#define RESTRICT_SELF_LOG_SAME_EXEC_OFF 1U

enum {
        FS_EXECUTE = 1U << 0, /* execve(2); a library is only read, and mapped */
        FS_WRITE_FILE = 1U << 1,
        FS_READ_FILE = 1U << 2,
        FS_READ_DIR = 1U << 3,
        FS_REMOVE_DIR = 1U << 4,
        FS_REMOVE_FILE = 1U << 5,
        FS_MAKE_CHAR = 1U << 6,
        FS_MAKE_DIR = 1U << 7,
        FS_MAKE_REG = 1U << 8,
        FS_MAKE_SOCK = 1U << 9,
        FS_MAKE_FIFO = 1U << 10,
        FS_MAKE_BLOCK = 1U << 11,
        FS_MAKE_SYM = 1U << 12,
        FS_REFER = 1U << 13,     /* ABI 2, Linux 5.19: move from one folder to another */
        FS_TRUNCATE = 1U << 14,  /* ABI 3, Linux 6.2 */
        FS_IOCTL_DEV = 1U << 15, /* ABI 5, Linux 6.10 */

        /* All that makes sense for what is no directory. */
        FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,

        ACCESS_READ = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
        ACCESS_DEVICE = FS_READ_FILE | FS_WRITE_FILE,
        ACCESS_DATA = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR |
                      FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_FIFO | FS_MAKE_SYM |
                      FS_REFER,
        ACCESS_FOLDER = ACCESS_DATA | FS_EXECUTE,
};

enum {
        NET_BIND_TCP = 1U << 0, /* ABI 4, Linux 6.7 */
        NET_CONNECT_TCP = 1U << 1,
};

enum {
        SCOPE_ABSTRACT_UNIX_SOCKET = 1U << 0, /* ABI 6, Linux 6.12 */
        SCOPE_SIGNAL = 1U << 1,
};

typedef struct RulesetAttributes {
        uint64_t handled_fs, handled_net, scoped;
} RulesetAttributes;

typedef struct __attribute__((packed)) PathRule {
        uint64_t access;
        int32_t parent_fd;
} PathRule;

typedef struct Place {
        const char *path;
        int fd; /* of the zygote; a worker closes it */
        uint32_t access;
        bool is_of_view; /* in a cell, beneath its root, all of which may be read */
} Place;

/* --- in the zygote --- */

static int abi; /* -errno: there is no Landlock */
static RulesetAttributes attributes;
/* A rule is on an inode, and that of a bind mount's root is that of what is mounted: what the
 * zygote opens outside is the same in a cell. */
static Place places[VIEW_PATHS_MAX];
static size_t n_places;

/* Exactly what this kernel knows: a right that is not handled is not refused. */
static void choose_attributes(void) {
        attributes.handled_fs = (uint32_t) (FS_REFER - 1);
        if (abi >= 2)
                attributes.handled_fs |= FS_REFER;
        if (abi >= 3)
                attributes.handled_fs |= FS_TRUNCATE;
        if (abi >= 4)
                attributes.handled_net = NET_BIND_TCP | NET_CONNECT_TCP;
        if (abi >= 5)
                attributes.handled_fs |= FS_IOCTL_DEV;
        if (abi >= 6)
                attributes.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
}

static int add_place(const char *path, uint32_t access, bool is_of_view) {
        int fd = open(path, O_PATH | O_CLOEXEC);

        /* What has gone since the list was made cannot be opened by a worker either. */
        if (fd < 0)
                return errno == ENOENT || errno == EACCES ? 0
                                                          : raise_errno("open %s for a rule", path);
        places[n_places++] = (Place){path, fd, access, is_of_view};
        return 0;
}

static int add_view_path(const ViewPath *path) {
        bool is_written = path->access == VIEW_WRITE;

        switch (path->kind) {
        case VIEW_DIRECTORY:
                return add_place(path->path, is_written ? ACCESS_DATA : ACCESS_READ, !is_written);
        case VIEW_FILE:
                return add_place(path->path, (is_written ? ACCESS_DATA : ACCESS_READ) & FS_OF_FILES,
                                 !is_written);
        case VIEW_DEVICE:
                return add_place(path->path, ACCESS_DEVICE, true);
        case VIEW_SYMLINK: /* following it asks for no right */
                break;
        }
        return 0;
}

int confine_landlock_prepare(const ViewOptions *view) {
        ViewPath paths[VIEW_PATHS_MAX];
        size_t n;

        abi = (int) syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
        if (abi < 0) {
                abi = -errno;
                return 0;
        }
        choose_attributes();
        n = view_paths(view, paths, N_ELEMENTS(paths));
        for (size_t i = 0; i < n; i++) {
                int r = add_view_path(&paths[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

void confine_landlock_allow_network(void) {
        attributes.handled_net = 0;
}

/* --- in a worker --- */

static int add_rule(const Confinement *confinement, int ruleset_fd, int fd, uint32_t access) {
        PathRule rule = {.access = access & attributes.handled_fs, .parent_fd = fd};

        if (!(confinement->command->flags & SPAWN_SUBPROCESSES))
                rule.access &= ~(uint64_t) FS_EXECUTE;
        return syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno
                                                                                           : 0;
}

static int add_rule_at(const Confinement *confinement, int ruleset_fd, int directory_fd,
                       const char *path, uint32_t access) {
        _autoclose_ int fd =
                openat(directory_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : add_rule(confinement, ruleset_fd, fd, access);
}

typedef struct Folder {
        const char *path;
        uint32_t access;
} Folder;

static int add_folders(const Confinement *confinement, int ruleset_fd) {
        static const Folder in_cell[] = {
                {"/", ACCESS_READ},      {"/dev", ACCESS_DEVICE},     {"/work", ACCESS_FOLDER},
                {"/tmp", ACCESS_FOLDER}, {"/dev/shm", ACCESS_FOLDER},
        };
        static const Folder in_slot[] = {
                {"work", ACCESS_FOLDER},
                {"tmp", ACCESS_FOLDER},
                {"packages", ACCESS_READ}, /* of a session; last */
        };
        bool is_in_cell = confine_takes(confinement, LAYER_MOUNT_NAMESPACE);
        bool is_session = confinement->command->flags & SPAWN_SESSION;
        const Folder *folders = is_in_cell ? in_cell : in_slot;
        size_t n = is_in_cell ? N_ELEMENTS(in_cell) : N_ELEMENTS(in_slot) - !is_session;

        for (size_t i = 0; i < n; i++) {
                int r = add_rule_at(confinement, ruleset_fd, confinement->fds[SPAWN_FD_DIRECTORY],
                                    folders[i].path, folders[i].access);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_places(const Confinement *confinement, int ruleset_fd) {
        bool is_in_cell = confine_takes(confinement, LAYER_MOUNT_NAMESPACE);

        for (size_t i = 0; i < n_places; i++) {
                int r = 0;

                if (!is_in_cell || !places[i].is_of_view)
                        r = add_rule(confinement, ruleset_fd, places[i].fd, places[i].access);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int create_ruleset(void) {
        int fd = (int) syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

        return fd < 0 ? -errno : fd;
}

static int restrict_self(int ruleset_fd) {
        return syscall(SYS_landlock_restrict_self, ruleset_fd,
                       abi >= 7 ? RESTRICT_SELF_LOG_SAME_EXEC_OFF : 0) < 0
                       ? -errno
                       : 0;
}

/* --- in a copy, and in what is made anew in its place --- */

/* What it must not reach is beneath what its source may, in a cell even beneath the root, so there
 * is a rule for each place of its own. They are opened by path, which takes no right. */
static int add_path(const Confinement *confinement, int ruleset_fd, const char *path,
                    uint32_t access) {
        _autoclose_ int fd = open(path, O_PATH | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT || errno == EACCES ? 0 : -errno;
        return add_rule(confinement, ruleset_fd, fd, access);
}

/* Whatever a path leads a copy to, the layers that it has from its source still hold. A process
 * from the zygote has none, and where there is no cell, sessions may have put links in these
 * places. */
static int add_own_path(const Confinement *confinement, int ruleset_fd, const char *path,
                        uint32_t access) {
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC,
                .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        bool is_in_cell = confine_takes(confinement, LAYER_MOUNT_NAMESPACE);
        _autoclose_ int fd = -1;

        if (!confinement->fds)
                return add_path(confinement, ruleset_fd, path, access);
        if (!is_in_cell)
                path += strlen(confinement->command->directory) + 1;
        fd = (int) syscall(SYS_openat2, confinement->fds[SPAWN_FD_DIRECTORY], path, &how,
                           sizeof(how));
        if (fd < 0)
                return errno == ENOENT || errno == EACCES ? 0 : -errno;
        return add_rule(confinement, ruleset_fd, fd, access);
}

bool confine_landlock_guards_sizes(void) {
        return abi >= 3;
}

int confine_landlock_copy(const Confinement *confinement, const CopyPlaces *own) {
        const Folder folders[] = {
                {own->work, ACCESS_FOLDER},
                {own->container, ACCESS_FOLDER},
                {own->temporary, ACCESS_FOLDER},
                {own->packages, ACCESS_READ},
                /* Of the cell: */
                {"/etc", ACCESS_READ},
                {own->shared_memory, ACCESS_FOLDER},
        };
        size_t n = !confine_takes(confinement, LAYER_MOUNT_NAMESPACE) ? N_ELEMENTS(folders) - 2
                   : !own->shared_memory                              ? N_ELEMENTS(folders) - 1
                                                                      : N_ELEMENTS(folders);
        _autoclose_ int ruleset_fd = -1;
        int r = 0;

        if (abi < 0 || !confine_takes(confinement, LAYER_LANDLOCK))
                return 0;
        ruleset_fd = create_ruleset();
        if (ruleset_fd < 0)
                return ruleset_fd;
        for (size_t i = 0; i < n && r == 0; i++)
                r = add_own_path(confinement, ruleset_fd, folders[i].path, folders[i].access);
        for (size_t i = 0; i < n_places && r == 0; i++)
                r = add_path(confinement, ruleset_fd, places[i].path, places[i].access);
        return r < 0 ? r : restrict_self(ruleset_fd);
}

/* A process that is made in a copy's place comes from the zygote, and nothing of the first
 * session's is its business. Its cell, if it has one, is its own. */
static int take_as_copy(const Confinement *confinement) {
        const SpawnCommand *command = confinement->command;
        char folder[CONFINE_FOLDER_SIZE], work[400], container[401], temporary[405], packages[300];
        const CopyPlaces own = {work, container, temporary, packages, "/dev/shm", false};

        (void) snprintf(work, sizeof(work), "%s/work/%s", command->directory,
                        confine_session_folder(command, folder));
        (void) snprintf(container, sizeof(container), "%s" COPY_CONTAINER_SUFFIX, work);
        (void) snprintf(packages, sizeof(packages), "%s/packages", command->directory);
        confine_session_temporary(command, temporary, sizeof(temporary));
        return confine_landlock_copy(confinement, &own);
}

/* Takes no_new_privs, or CAP_SYS_ADMIN. */
int confine_landlock_take(Confinement *confinement) {
        _autoclose_ int ruleset_fd = -1;
        int r;

        if (abi < 0)
                return abi;
        if (confinement->command->flags & SPAWN_SESSION && confinement->command->member > 0)
                return take_as_copy(confinement);
        ruleset_fd = create_ruleset();
        if (ruleset_fd < 0)
                return ruleset_fd;
        r = add_folders(confinement, ruleset_fd);
        if (r == 0)
                r = add_places(confinement, ruleset_fd);
        return r < 0 ? r : restrict_self(ruleset_fd);
}
