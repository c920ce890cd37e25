#include "pool/install.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/install_internal.h"

/* --- the end of one --- */

static void release_place(Install *install) {
        InstallPlace *place = &install->installer->places[install->place];

        if (place->install == install)
                place->install = NULL;
        wheel_cache_unstage(&install->installer->cache, install->staging);
        install->staging[0] = '\0';
        close_fd(&install->staging_fd);
}

void install_free(Install *install) {
        Installer *installer = install->installer;

        install_process_free(install);
        release_place(install);
        for (size_t i = 0; i < install->n_wheels; i++) {
                if (install->wheels[i].cached)
                        wheel_cache_unpin(install->wheels[i].cached);
        }
        *(install->previous ? &install->previous->next : &installer->first) = install->next;
        *(install->next ? &install->next->previous : &installer->last) = install->previous;
        installer->n_installs--;
        package_list_done(&install->in_session);
        package_list_done(&install->in_template);
        buffer_done(&install->key);
        buffer_done(&install->log);
        close_fd(&install->packages_fd);
        free(install->wheels);
        free(install->requirements);
        free(install->texts);
        free(install);
}

void install_fail(Install *install, InstallOutcome outcome, const char *format, ...) {
        va_list arguments;

        if (install->outcome != INSTALL_DONE)
                return;
        install->outcome = outcome;
        va_start(arguments, format);
        (void) vsnprintf(install->why, sizeof(install->why), format, arguments);
        va_end(arguments);
}

static void fail_by_error(Install *install, int error, const char *what) {
        if (error == -ENOSPC)
                install_fail(install, INSTALL_NO_SPACE,
                             "There is no space left on the server's disk.");
        else
                install_fail(install, INSTALL_UNAVAILABLE,
                             "The server could not %s, through a failure of its own.", what);
}

/* --- from step to step --- */

static void wake(Installer *installer) {
        uint64_t one = 1;

        /* It is full only when it is readable anyway. */
        (void) !write(installer->wake_fd, &one, sizeof(one));
}

void install_move(Install *install, InstallStep step) {
        install->step = step;
        wake(install->installer);
}

static void finish(Install *install) {
        release_place(install);
        install_move(install, INSTALL_ANSWERS);
}

/* NULL: it has ended, and what has its id now is another one. */
static Session *session_of(const Install *install) {
        Session *session = session_find(install->installer->config.pool, install->space,
                                        slice_of_text(install->session_id));
        struct stat status;

        if (!session || fstat(session_packages_fd(session), &status) < 0 ||
            status.st_dev != install->packages_device || status.st_ino != install->packages_inode)
                return NULL;
        return session;
}

static bool has_session(Install *install) {
        if (session_of(install))
                return true;
        install_fail(install, INSTALL_ENDED, "The session has ended meanwhile.");
        return false;
}

static void start_linking(Install *install) {
        if (install->outcome == INSTALL_DONE && has_session(install))
                install_start_work(install, INSTALL_LINKS, install_work_link);
        else
                finish(install);
}

static bool is_all_there(const Install *install) {
        for (size_t i = 0; i < install->n_requirements; i++) {
                if (!install_has(install, &install->requirements[i]))
                        return false;
        }
        return true;
}

static void on_looked(Install *install, int result) {
        Installer *installer = install->installer;

        if (result < 0)
                fail_by_error(install, result, "look what is installed");
        if (install->outcome != INSTALL_DONE || is_all_there(install)) {
                finish(install);
                return;
        }
        memory_make_key(install);
        if (memory_recall(installer->memory, &installer->cache, install))
                start_linking(install);
        else
                install_move(install, INSTALL_WAITS);
}

static void on_staged(Install *install, int result) {
        if (result < 0)
                fail_by_error(install, result, "prepare the installation");
        if (install->outcome == INSTALL_DONE && install_process_start(install) == 0)
                install_move(install, INSTALL_RUNS);
        else
                finish(install);
}

static void on_taken(Install *install, int result) {
        Installer *installer = install->installer;

        if (result == -EBADMSG)
                install_fail(install, INSTALL_BAD_WHEEL,
                             "A wheel has brought something other than files and folders, or too "
                             "much of them.");
        else if (result < 0)
                fail_by_error(install, result, "take the packages over");
        for (size_t i = 0; i < install->n_wheels && install->outcome == INSTALL_DONE; i++) {
                InstallWheel *wheel = &install->wheels[i];
                char folder[24];
                int r;

                if (wheel->cached)
                        continue;
                (void) snprintf(folder, sizeof(folder), "%zu", i);
                r = wheel_cache_add(&installer->cache, install->staging_fd, folder, &wheel->about,
                                    &wheel->cached);
                if (r < 0)
                        fail_by_error(install, r, "keep the packages");
        }
        if (install->outcome == INSTALL_DONE)
                memory_keep(installer->memory, install);
        release_place(install);
        start_linking(install);
}

static void on_linked(Install *install, int result) {
        if (has_session(install))
                session_packages_changed(session_of(install));
        if (result == -EDQUOT)
                install_fail(install, INSTALL_TOO_LARGE,
                             "The session's packages would take more than %llu MB (packages_mb).",
                             (unsigned long long) install->installer->config.packages_bytes_max >>
                                     20);
        else if (result < 0)
                fail_by_error(install, result, "put the packages into the session");
        finish(install);
}

void install_on_process_end(Install *install) {
        if (install->is_cancelled || install->outcome != INSTALL_DONE)
                finish(install);
        else
                install_start_work(install, INSTALL_TAKES, install_work_take);
}

static void on_work(Chore *chore, int result) {
        Install *install = (Install *) chore;

        if (install->is_cancelled && install->step != INSTALL_LINKS) {
                finish(install);
                return;
        }
        switch (install->step) {
        case INSTALL_LOOKS:
                on_looked(install, result);
                break;
        case INSTALL_STAGES:
                on_staged(install, result);
                break;
        case INSTALL_TAKES:
                on_taken(install, result);
                break;
        case INSTALL_LINKS:
                on_linked(install, result);
                break;
        case INSTALL_QUEUED:
        case INSTALL_WAITS:
        case INSTALL_RUNS:
        case INSTALL_ENDS:
        case INSTALL_ANSWERS:
                assert(!"no work is done in this step");
                break;
        }
}

void install_start_work(Install *install, InstallStep step, int (*work)(Chore *chore)) {
        int r;

        install->step = step;
        install->chore = (Chore){.work = work, .done = on_work};
        r = chores_add(install->installer->chores, &install->chore);
        /* There is room for one of each installation. */
        assert(r == 0);
        (void) r;
}

/* --- turns --- */

static bool waits_for_another(const Install *install) {
        for (const Install *other = install->previous; other; other = other->previous) {
                if (other->packages_device == install->packages_device &&
                    other->packages_inode == install->packages_inode)
                        return true;
        }
        return false;
}

static bool take_place(Install *install) {
        Installer *installer = install->installer;

        for (unsigned i = 0; i < installer->config.running_max; i++) {
                if (installer->places[i].install)
                        continue;
                installer->places[i].install = install;
                install->place = i;
                return true;
        }
        return false;
}

void install_go_on(Install *install) {
        Session *session = session_of(install);

        if (session)
                session_touch(session);
        if (install->step == INSTALL_QUEUED && !waits_for_another(install))
                install_start_work(install, INSTALL_LOOKS, install_work_look);
        else if (install->step == INSTALL_WAITS && !has_session(install))
                finish(install);
        else if (install->step == INSTALL_WAITS && take_place(install))
                install_start_work(install, INSTALL_STAGES, install_work_stage);
}
