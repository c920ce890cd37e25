#include "pool/install.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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

static void go_on(Install *install) {
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

/* Callbacks may start and cancel others, so the list is looked through anew after each. */
static bool answer_one(Installer *installer) {
        for (Install *install = installer->first; install; install = install->next) {
                if (install->step != INSTALL_ANSWERS)
                        continue;
                if (!install->is_cancelled)
                        install_answer(install);
                install_free(install);
                return true;
        }
        return false;
}

static void on_timers(Installer *installer) {
        uint64_t now_ns = clock_now_ns();
        Timer *timer;

        timer_heap_acknowledge(&installer->timers);
        while ((timer = timer_due(&installer->timers, now_ns))) {
                Install *install = installer->places[timer->what].install;

                if (install)
                        install_process_on_timer(install, now_ns);
        }
}

static void on_event(Installer *installer, uint64_t what) {
        uint64_t count;

        switch (what) {
        case EVENT_WAKE:
                (void) !read(installer->wake_fd, &count, sizeof(count));
                break;
        case EVENT_TIMERS:
                on_timers(installer);
                break;
        case EVENT_CHORES:
                chores_dispatch(installer->chores);
                break;
        default:
                /* A place, which may have been given up in the same turn. */
                if (installer->places[what - _EVENTS].install)
                        install_process_on_event(installer->places[what - _EVENTS].install);
        }
}

int installer_dispatch(Installer *installer) {
        struct epoll_event events[16];
        int n = epoll_wait(installer->epoll_fd, events, N_ELEMENTS(events), 0);

        if (n < 0 && errno != EINTR)
                return raise_errno("wait for installations");
        for (int i = 0; i < n; i++)
                on_event(installer, events[i].data.u64);
        while (answer_one(installer))
                ;
        for (Install *install = installer->first; install; install = install->next)
                go_on(install);
        return timer_heap_arm(&installer->timers);
}

int installer_fd(const Installer *installer) {
        return installer->epoll_fd;
}

/* --- life --- */

static int watch(Installer *installer, int fd, uint64_t what) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};

        return epoll_ctl(installer->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
                       ? raise_errno("watch an installer's descriptor")
                       : 0;
}

static int open_all(Installer *installer) {
        const InstallerConfig *config = &installer->config;
        int r = wheel_cache_open(&installer->cache, config->state_directory,
                                 config->cache_bytes_max);

        if (r < 0)
                return r;
        installer->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        installer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (installer->epoll_fd < 0 || installer->wake_fd < 0)
                return raise_errno("make an installer");
        r = timer_heap_init(&installer->timers, INSTALLS_RUNNING_MAX);
        if (r == 0)
                r = chores_new(1, config->running_max + config->queue_max, &installer->chores);
        if (r == 0)
                r = memory_new(&installer->memory);
        if (r == 0)
                r = watch(installer, installer->wake_fd, EVENT_WAKE);
        if (r == 0)
                r = watch(installer, installer->timers.fd, EVENT_TIMERS);
        return r < 0 ? r : watch(installer, chores_fd(installer->chores), EVENT_CHORES);
}

int installer_new(const InstallerConfig *config, Installer **ret_installer) {
        Installer *installer = calloc(1, sizeof(*installer));
        int r;

        assert(config->running_max > 0 && config->running_max <= INSTALLS_RUNNING_MAX);
        if (!installer)
                return raise_error(-ENOMEM, "make an installer");
        installer->config = *config;
        installer->epoll_fd = installer->wake_fd = installer->timers.fd = -1;
        installer->cache = WHEEL_CACHE_NONE;
        r = open_all(installer);
        if (r < 0) {
                (void) installer_free(installer);
                return r;
        }
        *ret_installer = installer;
        return 0;
}

Installer *installer_free(Installer *installer) {
        if (!installer)
                return NULL;
        for (Install *install = installer->first; install; install = install->next) {
                install->is_cancelled = true;
                install_process_free(install);
        }
        /* Waits for what is under way; its end starts nothing more, since it is cancelled. */
        installer->chores = chores_free(installer->chores);
        while (installer->first)
                install_free(installer->first);
        installer->memory = memory_free(installer->memory);
        timer_heap_done(&installer->timers);
        wheel_cache_close(&installer->cache);
        close_fd(&installer->wake_fd);
        close_fd(&installer->epoll_fd);
        free(installer);
        return NULL;
}
