/* What an installation does with files, in a thread of its own. Everything goes by descriptors. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/install_internal.h"
#include "pool/package_files.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

int install_work_look(Chore *chore) {
        Install *install = (Install *) chore;

        return package_list_read(install->packages_fd, &install->in_session);
}

/* --- a folder for pip --- */

static int make_folders(Install *install) {
        static const char *const names[] = {"work", "tmp"};
        uid_t uid = install->installer->config.uid;
        int r = 0;

        if (uid != 0)
                uid += install->place;
        for (size_t i = 0; i < N_ELEMENTS(names) && r == 0; i++) {
                _autoclose_ int fd = -1;

                r = tree_make_folder(install->staging_fd, names[i], 0700, uid ? uid : (uid_t) -1,
                                     &fd);
                if (r == 0 && i == 0) {
                        _autoclose_ int installed_fd = -1;

                        r = tree_make_folder(fd, "installed", 0755, (uid_t) -1, &installed_fd);
                        if (r == 0)
                                r = package_files_copy_metadata(install->packages_fd, installed_fd);
                }
        }
        if (r == 0 && uid != 0 && fchown(install->staging_fd, uid, (gid_t) uid) < 0)
                r = raise_errno("give a folder to the process for packages");
        return r;
}

int install_work_stage(Chore *chore) {
        Install *install = (Install *) chore;
        int r = wheel_cache_stage(&install->installer->cache, install->staging,
                                  &install->staging_fd);

        return r < 0 ? r : make_folders(install);
}

/* --- what pip has left --- */

/* From here on nobody else gets in. */
static int shut_staging(const Install *install) {
        if (geteuid() == 0 && fchown(install->staging_fd, 0, 0) < 0)
                return raise_errno("take back what pip has left");
        return fchmod(install->staging_fd, 0700) < 0 ? raise_errno("shut what pip has left") : 0;
}

int install_work_take(Chore *chore) {
        Install *install = (Install *) chore;
        int r = shut_staging(install);

        for (size_t i = 0; i < install->n_wheels && r == 0; i++) {
                char folder[24];

                (void) snprintf(folder, sizeof(folder), "%zu", i);
                if (install->wheels[i].wanted)
                        r = wheel_take_over(install->staging_fd, folder, &install->wheels[i].about);
        }
        return r;
}

/* --- into the session --- */

static int check_quota(const Install *install) {
        const char *names[INSTALL_WHEELS_MAX];
        uint64_t bytes, entries, replaced;
        int r = tree_measure(install->packages_fd, TREE_ENTRIES_MAX, &bytes, &entries);

        for (size_t i = 0; i < install->n_wheels; i++)
                names[i] = install->wheels[i].about.name;
        if (r == 0)
                r = package_files_measure(install->packages_fd, names, install->n_wheels,
                                          &replaced);
        if (r < 0)
                return r;
        bytes -= replaced < bytes ? replaced : bytes;
        for (size_t i = 0; i < install->n_wheels; i++)
                bytes += install->wheels[i].cached->bytes;
        return bytes > install->installer->config.packages_bytes_max ? -EDQUOT : 0;
}

static int put(const Install *install, const InstallWheel *wheel) {
        const Installer *installer = install->installer;
        _autoclose_ int files_fd = wheel_cache_open_files(&installer->cache, wheel->cached);
        int r;

        if (files_fd < 0)
                return files_fd;
        r = package_files_remove(install->packages_fd, wheel->about.name);
        if (r < 0)
                return r;
        r = package_files_begin(install->packages_fd, files_fd);
        if (r == 0 && installer->config.copies)
                r = tree_copy(files_fd, install->packages_fd, (uid_t) -1, UINT64_MAX,
                              WHEEL_ENTRIES_MAX);
        else if (r == 0)
                r = tree_link(files_fd, install->packages_fd, WHEEL_ENTRIES_MAX);
        if (r == 0)
                r = package_files_end(install->packages_fd, files_fd);
        /* Half a package is worse than none. */
        if (r < 0 && package_files_remove(install->packages_fd, wheel->about.name) < 0)
                log_warning("half a package stays name=%s", wheel->about.name);
        return r;
}

int install_work_link(Chore *chore) {
        Install *install = (Install *) chore;
        int r = check_quota(install);

        for (size_t i = 0; i < install->n_wheels && r == 0; i++)
                r = put(install, &install->wheels[i]);
        return r;
}
