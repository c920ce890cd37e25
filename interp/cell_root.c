#include "interp/cell_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/cell_report.h"

/* Some directories, links and files of a line or two. */
#define ROOT_SIZE   "1m"
#define ROOT_INODES "4096"

/* Covered for a moment only. The one directory that is certain to exist: the maker has just opened
 * it. */
#define STAGING "/proc"

/* Where they are mounted and covered; cells cover it once more. */
#define HOMES "/tmp"

/* What a worker may read of users and names. Users of a worker are added when they are known. */
static const struct {
        const char *path, *content;
} own_files[] = {
        {"/etc/passwd", "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
                        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
        {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
        {"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
        {"/etc/hostname", CELL_HOST_NAME "\n"},
        {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n"
                               "protocols: files\n"},
};

static const char *const own_directories[] = {"/work", "/packages", "/tmp",
                                              "/dev",  "/dev/shm",  "/etc"};

/* What becomes of one ViewPath: a copy of the mount, or the text of a link. */
typedef struct Piece {
        int tree_fd;
        char *link;
} Piece;

typedef struct Pieces {
        ViewPath paths[VIEW_PATHS_MAX];
        Piece of[VIEW_PATHS_MAX];
        size_t n;
} Pieces;

static void pieces_done(Pieces *pieces) {
        for (size_t i = 0; i < pieces->n; i++) {
                close_fd(&pieces->of[i].tree_fd);
                free(take_ptr(pieces->of[i].link));
        }
}

static int read_link(const char *path, Piece *piece, CellReport *report) {
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n < 0)
                return cell_report_failure(report, "read the link %s", path);
        piece->link = strndup(target, (size_t) n);
        return piece->link ? 0 : cell_report_failure(report, "remember the link %s", path);
}

/*
 * Only adds flags, but for a device, which could not be opened on a nodev mount: in a user
 * namespace the kernel locks those that a mount came with, and refuses to take them away. (Writing
 * to a device is allowed on a read-only mount; changing its mode is not.)
 */
static int copy_tree(const ViewPath *path, Piece *piece, CellReport *report) {
        bool is_device = path->kind == VIEW_DEVICE;
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID, .propagation = MS_PRIVATE};

        if (is_device)
                attributes.attr_clr |= MOUNT_ATTR_NODEV;
        else
                attributes.attr_set |= MOUNT_ATTR_NODEV;
        if (is_device || path->access == VIEW_READ)
                attributes.attr_set |= MOUNT_ATTR_RDONLY;

        piece->tree_fd =
                open_tree(AT_FDCWD, path->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (piece->tree_fd < 0)
                return cell_report_failure(report, "copy the mount of %s", path->path);
        if (mount_setattr(piece->tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                          sizeof(attributes)) < 0)
                return cell_report_failure(report, "change the mount of %s", path->path);
        return 0;
}

static int collect(const ViewOptions *options, Pieces *pieces, CellReport *report) {
        size_t n = view_paths(options, pieces->paths, N_ELEMENTS(pieces->paths));

        for (size_t i = 0; i < n; i++) {
                Piece *piece = &pieces->of[i];
                int r;

                *piece = (Piece){.tree_fd = -1};
                pieces->n = i + 1;
                r = pieces->paths[i].kind == VIEW_SYMLINK
                            ? read_link(pieces->paths[i].path, piece, report)
                            : copy_tree(&pieces->paths[i], piece, report);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* That of the current directory. Writable, as the view never is but for --data. */
static int copy_homes(int *ret_fd, CellReport *report) {
        struct mount_attr attributes = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                .propagation = MS_PRIVATE,
        };
        _autoclose_ int fd = -1;

        fd = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0)
                return cell_report_failure(report, "copy the mount of the homes of sessions");
        if (mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
                return cell_report_failure(report, "change the mount of the homes of sessions");
        *ret_fd = take_fd(fd);
        return 0;
}

/* Mounts it, keeps a way to it, and covers it with an empty folder. */
static int place_homes(int fd, CellRoot *ret_root, CellReport *report) {
        _autoclose_ int cover_fd = -1;

        if (fd < 0)
                return 0;
        cover_fd = open_tree(AT_FDCWD, HOMES, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (cover_fd < 0)
                return cell_report_failure(report, "copy the mount of %s", HOMES);
        if (move_mount(fd, "", AT_FDCWD, HOMES, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return cell_report_failure(report, "mount the homes of sessions");
        ret_root->homes_fd = open(HOMES, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (ret_root->homes_fd < 0)
                return cell_report_failure(report, "open the homes of sessions");
        if (move_mount(cover_fd, "", AT_FDCWD, HOMES, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return cell_report_failure(report, "cover the homes of sessions");
        return 0;
}

/* A tmpfs that is not mounted yet. Returns its descriptor, or -errno. */
static int make_tmpfs(CellReport *report) {
        _autoclose_ int context_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
        int fd;

        if (context_fd < 0)
                return cell_report_failure(report, "fsopen(tmpfs)");
        if (fsconfig(context_fd, FSCONFIG_SET_STRING, "size", ROOT_SIZE, 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_SET_STRING, "nr_inodes", ROOT_INODES, 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return cell_report_failure(report, "make a tmpfs for the root of cells");
        fd = fsmount(context_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        return fd < 0 ? cell_report_failure(report, "fsmount(tmpfs)") : fd;
}

/* pivot_root(".", ".") puts the old root on top of the new one (pivot_root(2)), where it is taken
 * off with all that was in it. */
static int change_root(CellReport *report) {
        _autoclose_ int root_fd = make_tmpfs(report);

        if (root_fd < 0)
                return root_fd;
        if (move_mount(root_fd, "", AT_FDCWD, STAGING, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return cell_report_failure(report, "mount the root of cells");
        if (fchdir(root_fd) < 0)
                return cell_report_failure(report, "enter the root of cells");
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return cell_report_failure(report, "pivot_root");
        if (umount2(".", MNT_DETACH) < 0)
                return cell_report_failure(report, "detach the old root");
        return chdir("/") < 0 ? cell_report_failure(report, "enter the new root") : 0;
}

/* Makes what lies on the way to a path. It may exist, also as part of a read-only mount: what then
 * is missing is found out when it is used. */
static void make_parents(const char *path) {
        char parent[PATH_MAX];

        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                (void) snprintf(parent, sizeof(parent), "%.*s", (int) (slash - path), path);
                (void) mkdir(parent, 0755);
        }
}

static int place(const ViewPath *path, const Piece *piece, CellReport *report) {
        make_parents(path->path);
        if (path->kind == VIEW_SYMLINK)
                return symlink(piece->link, path->path) < 0
                               ? cell_report_failure(report, "make the link %s", path->path)
                               : 0;
        if (path->kind == VIEW_DIRECTORY)
                (void) mkdir(path->path, 0755);
        else
                (void) mknod(path->path, S_IFREG | 0644, 0);
        if (move_mount(piece->tree_fd, "", AT_FDCWD, path->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return cell_report_failure(report, "mount %s", path->path);
        return 0;
}

static int write_file(const char *path, const char *content, CellReport *report) {
        _autoclose_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t) strlen(content))
                return cell_report_failure(report, "write %s", path);
        return 0;
}

static int populate(const Pieces *pieces, CellReport *report) {
        for (size_t i = 0; i < N_ELEMENTS(own_directories); i++) {
                if (mkdir(own_directories[i], 0755) < 0)
                        return cell_report_failure(report, "make %s", own_directories[i]);
        }
        for (size_t i = 0; i < N_ELEMENTS(own_files); i++) {
                int r = write_file(own_files[i].path, own_files[i].content, report);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < pieces->n; i++) {
                int r = place(&pieces->paths[i], &pieces->of[i], report);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The mount becomes read-only, not the file system: users are still added to /etc/passwd, through a
 * second mount of it that no namespace has. */
static int close_root(CellReport *report, CellRoot *ret_root) {
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
        _autoclose_ int writable_fd = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

        if (writable_fd < 0)
                return cell_report_failure(report, "copy the mount of the root of cells");
        if (mount_setattr(AT_FDCWD, "/", 0, &attributes, sizeof(attributes)) < 0)
                return cell_report_failure(report, "make the root of cells read-only");
        ret_root->writable_fd = take_fd(writable_fd);
        return 0;
}

int cell_root_enter(const ViewOptions *options, int homes_fd, CellReport *report,
                    CellRoot *ret_root) {
        static Pieces pieces;
        _autoclose_ int tree_fd = -1;
        mode_t mask = umask(022);
        int r;

        ret_root->writable_fd = ret_root->homes_fd = -1;
        ret_root->n_uids = 0;
        /* A mount can be copied only from the own namespace. The kernel moves the current directory
         * to the new one (copy_mnt_ns()), and no descriptor. */
        if (homes_fd >= 0 && fchdir(homes_fd) < 0)
                return cell_report_failure(report, "enter the homes of sessions");
        if (unshare(CLONE_NEWNS) < 0)
                return cell_report_failure(report, "unshare(CLONE_NEWNS)");
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return cell_report_failure(report, "make all mounts private");
        r = collect(options, &pieces, report);
        if (r >= 0 && homes_fd >= 0)
                r = copy_homes(&tree_fd, report);
        if (r >= 0)
                r = change_root(report);
        if (r >= 0)
                r = populate(&pieces, report);
        if (r >= 0)
                r = close_root(report, ret_root);
        if (r >= 0)
                r = place_homes(tree_fd, ret_root, report);
        pieces_done(&pieces);
        (void) umask(mask);
        return r;
}

static int append(int directory_fd, const char *path, const char *line, CellReport *report) {
        _autoclose_ int fd = openat(directory_fd, path, O_WRONLY | O_APPEND | O_CLOEXEC);

        if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t) strlen(line))
                return cell_report_failure(report, "add a user to %s", path);
        return 0;
}

int cell_root_name(CellRoot *root, uint32_t uid, uint32_t gid, CellReport *report) {
        char user[128], group[64];
        int r;

        if (uid == 0 || root->n_uids == N_ELEMENTS(root->uids))
                return 0;
        for (uint32_t i = 0; i < root->n_uids; i++) {
                if (root->uids[i] == uid)
                        return 0;
        }
        (void) snprintf(user, sizeof(user), "runner:x:%u:%u:runner:/work:/bin/sh\n", uid, gid);
        (void) snprintf(group, sizeof(group), "runner:x:%u:\n", gid);
        r = append(root->writable_fd, "etc/passwd", user, report);
        if (r >= 0)
                r = append(root->writable_fd, "etc/group", group, report);
        if (r >= 0)
                root->uids[root->n_uids++] = uid;
        return r;
}

/* It becomes part of a path. */
static bool is_home_name(const char *name) {
        return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")] == '\0';
}

int cell_root_open_home(const CellRoot *root, const char *name, int ret_fds[CELL_HOME_FDS],
                        CellReport *report) {
        static const char *const folders[CELL_HOME_FDS] = {"work", "packages"};
        struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
        char path[64];

        for (int i = 0; i < CELL_HOME_FDS; i++)
                ret_fds[i] = -1;
        if (!name[0])
                return 0;
        if (root->homes_fd < 0 || !is_home_name(name)) {
                errno = EINVAL;
                return cell_report_failure(report, "find the home of a session");
        }
        for (int i = 0; i < CELL_HOME_FDS; i++) {
                (void) snprintf(path, sizeof(path), "%.32s/%s", name, folders[i]);
                ret_fds[i] = open_tree(root->homes_fd, path,
                                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
                if (ret_fds[i] < 0)
                        return cell_report_failure(report, "copy the mount of a home's %s",
                                                   folders[i]);
        }
        return mount_setattr(ret_fds[1], "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0
                       ? cell_report_failure(report, "make a home's packages read-only")
                       : 0;
}
