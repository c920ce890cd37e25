#include "pool/pool.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define EVENTS_PER_TURN 64

int pool_watch(Pool *pool, int fd, Source source, unsigned index, unsigned extra) {
        struct epoll_event event = {
                .events = source == SOURCE_REQUEST ? EPOLLOUT : EPOLLIN,
                .data.u64 = source_data(source, index, extra),
        };

        if (epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return raise_errno("watch a descriptor of the pool");
        return 0;
}

void pool_unwatch(Pool *pool, int fd) {
        /* ENOENT: it is not watched any more. */
        (void) epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void pool_wake_at(Pool *pool, uint64_t ns) {
        if (pool->quiet_timer.position == TIMER_OFF || ns < pool->quiet_timer.deadline_ns)
                timer_set(&pool->timers, &pool->quiet_timer, ns);
}

LayerMask template_layers(const Pool *pool, const TemplateConfig *config) {
        LayerMask layers = layer_bit(LAYER_RLIMITS) | layer_bit(LAYER_NO_NEW_PRIVILEGES) |
                           layer_bit(LAYER_CAPABILITIES) | layer_bit(LAYER_NOT_DUMPABLE) |
                           layer_bit(LAYER_SECCOMP) | layer_bit(LAYER_OOM_SCORE) |
                           layer_bit(LAYER_UID);

        /* A template that allows subprocesses loosens none of them: the system call filter and the
         * Landlock rules have another shape then (SPAWN_SUBPROCESSES). */
        if (pool->config.isolation)
                layers = pool->config.isolation->layers;
        if (geteuid() != 0 || pool->config.worker_uid_base == 0)
                layers &= ~layer_bit(LAYER_UID);
        return cgroups_layers(&pool->cgroups, config, layers);
}

/* --- life --- */

static int init_descriptors(Pool *pool) {
        int r;

        r = timer_heap_init(&pool->timers, pool->n_slots * 2 + pool->sessions.n_max +
                                                   (uint32_t) pool->config.n_templates * 3 + 3);
        if (r < 0)
                return r;
        pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (pool->epoll_fd < 0)
                return raise_errno("create the pool's epoll descriptor");
        return pool_watch(pool, pool->timers.fd, SOURCE_TIMERS, 0, 0);
}

int pool_new(const PoolConfig *config, Pool **ret_pool) {
        _cleanup_(pool_freep) Pool *pool = NULL;
        long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
        int r;

        pool = calloc(1, sizeof(*pool));
        if (!pool)
                return raise_error(-ENOMEM, "allocate the pool");
        pool->config = *config;
        pool->epoll_fd = -1;
        pool->timers.fd = -1;
        pool->workspace.root_fd = pool->workspace.trash_fd = -1;
        pool->cgroups = CGROUP_TREE_NONE;
        pool->targets = CANARY_TARGETS_NONE;
        pool->n_cores = n_cores > 0 ? (unsigned) n_cores : 1;
        timer_init(&pool->sweep_timer, TIMER_SWEEP, 0);
        timer_init(&pool->quiet_timer, TIMER_QUIET, 0);
        timer_init(&pool->sessions.reserve.timer, TIMER_RESERVE, 0);
        if (run_slots(config) == 0 || run_slots(config) > SLOTS_MAX)
                return raise_error(-EINVAL,
                                   "the templates have %u workers together; 1 to %d are possible",
                                   run_slots(config), SLOTS_MAX);
        pool->n_slots = all_slots(config);
        if (session_slots(config) > 0) {
                /* What an earlier server has left may be more than this one is to make. */
                pool->sessions.n_max = SESSIONS_MAX + HOMES_MAX;
        } else {
                pool->config.state_directory = NULL;
        }

        pool->slots = calloc(pool->n_slots, sizeof(*pool->slots));
        pool->templates = calloc(config->n_templates, sizeof(*pool->templates));
        if (!pool->slots || !pool->templates)
                return raise_error(-ENOMEM, "allocate %u slots", pool->n_slots);
        /* What a worker's processes leave behind becomes ours to kill and to wait for. */
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return raise_errno("become a subreaper");
        r = init_descriptors(pool);
        if (r == 0)
                r = workspace_open(&pool->workspace, config->work_directory);
        if (r == 0)
                r = canary_open(&pool->targets, &pool->workspace, config->probe_port);
        if (r == 0)
                r = cgroups_open(pool);
        if (r == 0)
                r = slots_new(pool);
        if (r == 0)
                r = sessions_open(pool);
        if (r < 0)
                return r;
        for (size_t i = 0; i < config->n_templates; i++)
                generation_start(&pool->templates[i]);
        r = timer_heap_arm(&pool->timers);
        if (r < 0)
                return r;
        *ret_pool = take_ptr(pool);
        return 0;
}

/* Whoever is still our child when zygotes and workers are gone is a stray; keepers are by now, too.
 */
static void wait_for_strays(Pool *pool) {
        for (unsigned i = 0; i < 2000; i++) {
                pool->sweep_wanted = true;
                spares_sweep(pool);
                if (!pool->sweep_wanted)
                        return;
                (void) usleep(1000);
        }
}

Pool *pool_free(Pool *pool) {
        if (!pool)
                return NULL;
        /* Zygotes first, so that nobody forks any more. */
        for (size_t i = 0; pool->templates && i < pool->config.n_templates; i++) {
                Template *template = &pool->templates[i];

                generation_stop(template);
                template->outstanding = template->next_outstanding = 0;
                while (template->queue_first)
                        run_free(queue_pop(template));
        }
        slots_free(pool);
        for (size_t i = 0; pool->templates && i < pool->config.n_templates; i++)
                canary_free(&pool->templates[i]);
        pool->sessions.n_copies_unnamed = 0;
        if (pool->templates && pool->slots && pool->timers.timers)
                wait_for_strays(pool);
        pool->chores = chores_free(pool->chores);
        sessions_close(pool);
        cgroups_close(pool);
        canary_close(&pool->targets);
        workspace_close(&pool->workspace);
        timer_heap_done(&pool->timers);
        close_fd(&pool->epoll_fd);
        free(pool->slots);
        free(pool->templates);
        free(pool);
        return NULL;
}

/* --- the descriptor --- */

int pool_fd(const Pool *pool) {
        return pool->epoll_fd;
}

static void on_timer(Pool *pool, const Timer *timer, uint64_t now_ns) {
        unsigned index = timer->what & 0xffff;

        switch ((TimerOwner) (timer->what >> 16)) {
        case TIMER_SLOT:
                slot_on_timer(&pool->slots[index], now_ns);
                break;
        case TIMER_CELL:
                slot_on_cell_timer(&pool->slots[index]);
                break;
        case TIMER_QUEUE:
                queue_expire(&pool->templates[index], now_ns);
                break;
        case TIMER_ZYGOTE:
                generation_on_timer(&pool->templates[index]);
                break;
        case TIMER_SPAWN:
                generation_on_spawn_timer(&pool->templates[index]);
                break;
        case TIMER_SESSION:
                session_on_timer(pool->sessions.by_index[index], now_ns);
                break;
        case TIMER_RESERVE:
                session_reserve_on_timer(pool, now_ns);
                break;
        case TIMER_SWEEP:
        case TIMER_QUIET:
                /* Their work is done at the end of every turn. */
                break;
        }
}

static void on_event(Pool *pool, const struct epoll_event *event) {
        unsigned index = (unsigned) (event->data.u64 >> 32) & 0xffffff;

        switch ((Source) (event->data.u64 >> 56)) {
        case SOURCE_TIMERS:
                timer_heap_acknowledge(&pool->timers);
                break;
        case SOURCE_RESULT:
                slot_on_result(&pool->slots[index]);
                break;
        case SOURCE_EXIT:
                slot_on_exit(&pool->slots[index]);
                break;
        case SOURCE_STDOUT:
                slot_on_stream(&pool->slots[index], RUN_STDOUT);
                break;
        case SOURCE_STDERR:
                slot_on_stream(&pool->slots[index], RUN_STDERR);
                break;
        case SOURCE_REQUEST:
                slot_on_request_writable(&pool->slots[index]);
                break;
        case SOURCE_KEEPER:
                slot_on_keeper_exit(&pool->slots[index]);
                break;
        case SOURCE_MAKER:
                generation_on_cells(&pool->templates[index], (unsigned) event->data.u64);
                break;
        case SOURCE_CHORES:
                chores_dispatch(pool->chores);
                break;
        case SOURCE_CONTROL:
                session_on_control(&pool->slots[index]);
                break;
        case SOURCE_LISTENER:
                session_on_listener(&pool->slots[index]);
                break;
        case SOURCE_ZYGOTE:
                generation_on_report(&pool->templates[index], (unsigned) event->data.u64);
                break;
        }
}

/* What follows from all that has happened: waiting runs start, slots are filled. */
static void settle_pool(Pool *pool) {
        if (pool->sweep_wanted)
                spares_sweep(pool);
        if (pool->sessions.is_open)
                sessions_settle(pool);
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                canary_check(&pool->templates[i]);
                spares_assign(&pool->templates[i]);
                spares_refill(&pool->templates[i]);
        }
}

int pool_dispatch(Pool *pool) {
        struct epoll_event events[EVENTS_PER_TURN];
        uint64_t now_ns;
        Timer *timer;
        int n;

        n = epoll_wait(pool->epoll_fd, events, EVENTS_PER_TURN, 0);
        if (n < 0 && errno != EINTR)
                return raise_errno("wait for the pool's descriptors");
        for (int i = 0; i < n; i++)
                on_event(pool, &events[i]);

        /* After the events: a result that came in time counts. */
        now_ns = clock_now_ns();
        while ((timer = timer_due(&pool->timers, now_ns)))
                on_timer(pool, timer, now_ns);
        settle_pool(pool);
        return timer_heap_arm(&pool->timers);
}

/* --- what a caller may ask --- */

int pool_submit(Pool *pool, const RunRequest *request, const RunCallbacks *callbacks, void *data,
                Run **ret_run) {
        Run *run;
        int r;

        assert(request->template <pool->config.n_templates);
        if (pool->draining)
                return POOL_E_DRAINING;
        /* A run that finds a worker does not wait, however many wait for other templates. */
        if (pool->n_queued >= pool->config.queue_max &&
            pool->templates[request->template].runs.n_states[SLOT_IDLE] == 0) {
                pool->counters.refused++;
                return POOL_E_QUEUE_FULL;
        }
        r = run_new(pool, request, &run);
        if (r != 0)
                return r;
        run->callbacks = *callbacks;
        run->data = data;
        queue_push(run);
        spares_assign(run->template);
        *ret_run = run;
        return timer_heap_arm(&pool->timers);
}

void pool_cancel(Pool *pool, Run *run) {
        pool->counters.runs[RUN_CANCELLED]++;
        if (run->is_in_session) {
                session_cancel(run);
                return;
        }
        if (run->slot) {
                slot_move(run->slot, SLOT_EV_CANCEL);
                return;
        }
        queue_remove(run);
        run_free(run);
}

void pool_reload(Pool *pool) {
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                Template *template = &pool->templates[i];

                template->reload_waits = template->next_zygote || template->next_maker;
                generation_start(template);
        }
        /* They must stand right until the caller looks at the descriptor again. */
        if (timer_heap_arm(&pool->timers) < 0)
                log_error("the pool's timers cannot be armed");
}

void pool_drain(Pool *pool) {
        pool->draining = true;
}
