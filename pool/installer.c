/* installer: the life of the installer, and its turns. */

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "pool/install_internal.h"

/* --- turns --- */

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
                install_go_on(install);
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
