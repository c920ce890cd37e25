#include "pool/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/tree.h"

#define ROOT_PREFIX          "pool-"
#define IN_PLACE_ENTRIES_MAX 256

/* What getdents64(2) fills a buffer with; glibc has no name for it. */
typedef struct LinuxDirent {
        uint64_t inode;
        int64_t offset;
        uint16_t record_size;
        uint8_t type;
        char name[];
} LinuxDirent;

static int open_in(int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? raise_errno("open folder %s", name) : fd;
}

/* A root whose lock can be taken was left behind by a server that was killed. */
static void remove_stale_root(int directory_fd, const char *name) {
        _autoclose_ int root_fd =
                openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        Janitor *janitor;

        if (root_fd < 0 || flock(root_fd, LOCK_EX | LOCK_NB) < 0)
                return;
        /* The whole root becomes the trash of a janitor of its own. */
        if (janitor_new(root_fd, &janitor) < 0)
                return;
        janitor_free(janitor);
        if (unlinkat(directory_fd, name, AT_REMOVEDIR) == 0)
                log_info("removed what an earlier server left in %s", name);
}

static void remove_stale_roots(int directory_fd) {
        int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!directory) {
                if (fd >= 0)
                        (void) close(fd);
                return;
        }
        while ((entry = readdir(directory))) {
                if (strncmp(entry->d_name, ROOT_PREFIX, strlen(ROOT_PREFIX)) == 0)
                        remove_stale_root(directory_fd, entry->d_name);
        }
        (void) closedir(directory);
}

int workspace_open(Workspace *workspace, const char *directory) {
        _autoclose_ int directory_fd = -1;
        int n, r;

        *workspace = (Workspace){.root_fd = -1, .trash_fd = -1};
        r = tree_make_path(directory, 0755, "the work directory");
        if (r < 0)
                return r;
        directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory_fd < 0)
                return raise_errno("open the work directory %s", directory);
        /* One server at a time, until this descriptor closes: a root that has been made and not
         * been locked yet looks stale. */
        if (flock(directory_fd, LOCK_EX) < 0)
                return raise_errno("lock the work directory %s", directory);
        remove_stale_roots(directory_fd);

        n = snprintf(workspace->path, sizeof(workspace->path), "%s/" ROOT_PREFIX "XXXXXX",
                     directory);
        /* Room is needed for a slot's number and a file's name behind it. */
        if (n < 0 || (size_t) n >= sizeof(workspace->path) - 16)
                return raise_error(-ENAMETOOLONG, "the work directory's path is too long: %s",
                                   directory);
        if (!mkdtemp(workspace->path))
                return raise_errno("make a folder in %s", directory);
        workspace->root_fd = open_in(AT_FDCWD, workspace->path);
        if (workspace->root_fd < 0)
                return workspace->root_fd;
        if (flock(workspace->root_fd, LOCK_EX | LOCK_NB) < 0)
                return raise_errno("lock %s", workspace->path);
        /* Workers of other uids pass through, and see no names. */
        if (fchmod(workspace->root_fd, 0711) < 0)
                return raise_errno("set the mode of %s", workspace->path);
        if (mkdirat(workspace->root_fd, "trash", 0700) < 0)
                return raise_errno("make the trash in %s", workspace->path);
        workspace->trash_fd = open_in(workspace->root_fd, "trash");
        if (workspace->trash_fd < 0)
                return workspace->trash_fd;
        return janitor_new(workspace->trash_fd, &workspace->janitor);
}

void workspace_close(Workspace *workspace) {
        DIR *directory;
        struct dirent *entry;
        int fd;

        if (workspace->root_fd < 0)
                return;
        /* Everything moves into the trash; the janitor's last act is to empty it. */
        fd = openat(workspace->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        directory = fd < 0 ? NULL : fdopendir(fd);
        while (directory && workspace->trash_fd >= 0 && (entry = readdir(directory))) {
                char name[64];

                if (entry->d_name[0] == '.' || strcmp(entry->d_name, "trash") == 0)
                        continue;
                /* A prefix of its own: "slot-3" may be an earlier folder of any slot. */
                (void) snprintf(name, sizeof(name), "last-%.40s", entry->d_name);
                (void) renameat(workspace->root_fd, entry->d_name, workspace->trash_fd, name);
        }
        if (directory)
                (void) closedir(directory);
        workspace->janitor = janitor_free(workspace->janitor);
        (void) unlinkat(workspace->root_fd, "trash", AT_REMOVEDIR);
        if (rmdir(workspace->path) < 0)
                log_warning("cannot remove %s: %s", workspace->path, strerror(errno));
        close_fd(&workspace->trash_fd);
        close_fd(&workspace->root_fd);
}

static int make_folder(int directory_fd, const char *name, uid_t uid, int *ret_fd) {
        if (mkdirat(directory_fd, name, 0700) < 0)
                return raise_errno("make folder %s of a slot", name);
        if (uid != 0 && fchownat(directory_fd, name, uid, (gid_t) uid, AT_SYMLINK_NOFOLLOW) < 0)
                return raise_errno("give folder %s of a slot to uid %u", name, uid);
        *ret_fd = open_in(directory_fd, name);
        return *ret_fd < 0 ? *ret_fd : 0;
}

int workspace_make_slot(Workspace *workspace, unsigned slot, uid_t uid, SlotFolders *ret_folders) {
        SlotFolders folders = SLOT_FOLDERS_NONE;
        char name[16];
        int r;

        (void) snprintf(name, sizeof(name), "%u", slot);
        if (mkdirat(workspace->root_fd, name, 0711) < 0 && errno != EEXIST)
                return raise_errno("make the folder of slot %u", slot);
        folders.directory_fd =
                openat(workspace->root_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folders.directory_fd < 0)
                return raise_errno("open the folder of slot %u", slot);
        r = make_folder(folders.directory_fd, "work", uid, &folders.work_fd);
        if (r == 0)
                r = make_folder(folders.directory_fd, "tmp", uid, &folders.tmp_fd);
        if (r < 0) {
                slot_folders_close(&folders);
                return r;
        }
        *ret_folders = folders;
        return 0;
}

int workspace_remake_slot(Workspace *workspace, unsigned slot, uid_t uid, SlotFolders *folders) {
        char name[16], trash[64];

        slot_folders_close(folders);
        (void) snprintf(name, sizeof(name), "%u", slot);
        (void) snprintf(trash, sizeof(trash), "slot-%ju", (uintmax_t) workspace->sequence++);
        if (renameat(workspace->root_fd, name, workspace->trash_fd, trash) < 0 && errno != ENOENT)
                return raise_errno("move the folder of slot %u to the trash", slot);
        janitor_wake(workspace->janitor);
        return workspace_make_slot(workspace, slot, uid, folders);
}

void slot_folders_close(SlotFolders *folders) {
        close_fd(&folders->directory_fd);
        close_fd(&folders->work_fd);
        close_fd(&folders->tmp_fd);
}

/* Three system calls; a folder's times would be cheaper, but they move in ticks of several
 * milliseconds. The end is read too, as a file system may hand out the first names by themselves.
 */
static int is_empty(int fd) {
        _Alignas(LinuxDirent) char entries[1024];
        long n;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return raise_errno("rewind a folder");
        do {
                n = syscall(SYS_getdents64, fd, entries, sizeof(entries));
                if (n < 0)
                        return raise_errno("read a folder");
                for (long at = 0; at < n;) {
                        const LinuxDirent *entry = (const LinuxDirent *) (entries + at);

                        if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
                                return 0;
                        at += entry->record_size;
                }
        } while (n > 0);
        return 1;
}

static int replace_folder(Workspace *workspace, SlotFolders *folders, const char *name, uid_t uid,
                          int *fd) {
        char trash[64];
        int r;

        r = is_empty(*fd);
        if (r < 0)
                return r;
        if (r == 1) {
                /* It may have been closed to its owner. */
                if (fchmod(*fd, 0700) < 0)
                        return raise_errno("set the mode of folder %s", name);
                return 0;
        }
        (void) snprintf(trash, sizeof(trash), "%s-%ju", name, (uintmax_t) workspace->sequence++);
        if (renameat(folders->directory_fd, name, workspace->trash_fd, trash) < 0)
                return raise_errno("move folder %s of a slot to the trash", name);
        close_fd(fd);
        janitor_wake(workspace->janitor);
        return make_folder(folders->directory_fd, name, uid, fd);
}

int workspace_empty_slot(Workspace *workspace, SlotFolders *folders, uid_t uid) {
        int r;

        r = replace_folder(workspace, folders, "work", uid, &folders->work_fd);
        if (r < 0)
                return r;
        return replace_folder(workspace, folders, "tmp", uid, &folders->tmp_fd);
}

static int empty_in_place(Workspace *workspace, int folder_fd) {
        DIR *directory;
        struct dirent *entry;
        unsigned entries = 0;
        int fd, r;

        r = is_empty(folder_fd);
        if (r != 0)
                return r < 0 ? r : 0;
        fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return raise_errno("open a folder of a slot");
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return raise_error(-ENOMEM, "read a folder of a slot");
        }
        r = 0;
        while (r == 0 && (entry = readdir(directory))) {
                char trash[64];

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                (void) snprintf(trash, sizeof(trash), "entry-%ju",
                                (uintmax_t) workspace->sequence++);
                if (++entries > IN_PLACE_ENTRIES_MAX)
                        r = -E2BIG;
                else if (renameat(folder_fd, entry->d_name, workspace->trash_fd, trash) < 0)
                        r = raise_errno("move a file of a run to the trash");
        }
        (void) closedir(directory);
        janitor_wake(workspace->janitor);
        return r;
}

int workspace_empty_slot_in_place(Workspace *workspace, SlotFolders *folders) {
        int r;

        r = empty_in_place(workspace, folders->work_fd);
        if (r < 0)
                return r;
        return empty_in_place(workspace, folders->tmp_fd);
}
