#pragma once
/* disk: a small disk of its own for a test that fills it. */

#include <sched.h>
#include <sys/mount.h>

#include "folders.h"

/* A disk of its own in place of the folder, in a mount namespace of this process. */
static inline void need_disk(Folder *folder, const char *options) {
        static bool is_apart;

        if (geteuid() != 0)
                skip_because("needs root: mounts a small tmpfs");
        if (!is_apart &&
            (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
                skip_because("needs the right to mount");
        is_apart = true;
        assert_int_equal(mount("tmpfs", folder->path, "tmpfs", MS_NOSUID | MS_NODEV, options), 0);
        close_fd(&folder->fd);
        folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(folder->fd >= 0);
}

/* If the folder has one. */
static inline void disk_remove(Folder *folder) {
        close_fd(&folder->fd);
        (void) umount2(folder->path, MNT_DETACH);
}
