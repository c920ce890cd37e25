/* spares: keeps every slot filled with a warm worker, and gives waiting runs to idle ones. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"
#include "pool/request.h"

/* Commands a zygote may have before it: one that it works at, and one so that it need not wait. */
#define OUTSTANDING_MAX 2

#define SPAWN_RETRY_NS (100 * NS_PER_MS)

void slot_list_push(SlotList *list, Slot *slot) {
        slot->next = list->first;
        list->first = slot;
        list->n++;
}

void slot_list_remove(SlotList *list, Slot *slot) {
        Slot **at = &list->first;

        while (*at != slot)
                at = &(*at)->next;
        *at = slot->next;
        slot->next = NULL;
        list->n--;
}

Slot *slot_list_first(const SlotList *list) {
        return list->first;
}

static Slot *first_trusted(const SlotList *list) {
        Slot *slot = slot_list_first(list);

        while (slot && !canary_trusts(slot))
                slot = slot->next;
        return slot;
}

/* The worker that was ready last is the warmest in the caches. */
static Slot *choose_idle(const Template *template, bool heavy) {
        Slot *slot = first_trusted(&template->runs.idle[heavy]);

        return slot ? slot : first_trusted(&template->runs.idle[!heavy]);
}

void spares_assign(Template *template) {
        while (template->queue_first) {
                Slot *slot = choose_idle(template, template->queue_first->heavy);

                if (!slot)
                        return;
                slot->run = queue_pop(template);
                template->has_run = true;
                slot_move(slot, SLOT_EV_ASSIGN);
        }
}

unsigned template_tasks(const Template *template) {
        return (unsigned) template->config->limits.maximum[LIMIT_PROCESSES] + SPAWN_THREADS_MAX;
}

SpawnCommand spares_command(const Slot *slot) {
        const Template *template = slot->template;
        const TemplateConfig *config = template->config;
        const LimitPolicy *limits = &config->limits;
        SpawnCommand command = {
                .kind = ZYGOTE_SPAWN,
                .slot = slot->number,
                .uid = slot->uid,
                .gid = slot->uid,
                .memory_bytes = (limits->maximum[LIMIT_MEMORY_MB] << 20) + ADDRESS_SPACE_SLACK,
                .file_bytes = limits->maximum[LIMIT_DISK_MB] << 20,
                .cpu_seconds = limits->maximum[LIMIT_CPU_MS] / 1000 + 1,
                .tasks = SPAWN_TASKS_SHARED,
                .layers = template->layers,
        };

        /* While runs wait, the rehearsal would only keep them waiting. */
        if (template->n_queued == 0)
                command.flags |= SPAWN_REHEARSE;
        if (config->recycle == RECYCLE_RESET) {
                /* A kept worker's clock goes on over its runs: the limit of one run is the
                 * supervisor's to hold. */
                command.cpu_seconds = UINT32_MAX;
                command.flags |= SPAWN_RESET | SPAWN_REHEARSE;
        }
        if (config->subprocesses)
                command.flags |= SPAWN_SUBPROCESSES;
        if (slot->uid != 0 || slot->cell.fds[CELL_FD_USER_NAMESPACE] >= 0)
                command.tasks = template_tasks(template);
        if (slot->of_sessions)
                session_spawn_command(slot, &command);
        else if (!template->has_cell_folders)
                (void) snprintf(command.directory, sizeof(command.directory), "%s/%u",
                                template->pool->workspace.path, slot->number);
        return command;
}

/* Else there was no room for them when the last worker had ended. */
static bool has_folders(const Slot *slot) {
        return slot->template->has_cell_folders || slot->of_sessions ||
               (slot->folders.directory_fd >= 0 && slot->folders.work_fd >= 0 &&
                slot->folders.tmp_fd >= 0);
}

/* Of a session that waits; or, if there is none, of a spare to be. */
static Slot *choose_empty_of_sessions(const Template *template) {
        Slot *spare = NULL;

        for (Slot *slot = slot_list_first(&template->sessions.empty); slot; slot = slot->next) {
                if (!slot->place || slot->host || slot->is_given_up || !slot_has_cell(slot))
                        continue;
                if (slot->session)
                        return slot;
                spare = slot;
        }
        return spare;
}

/* A slot that cannot get its folders yet keeps no other one waiting. NULL: none has a cell. */
static Slot *choose_empty_of_runs(const Template *template) {
        Slot *other = NULL;

        for (Slot *slot = slot_list_first(&template->runs.empty); slot; slot = slot->next) {
                if (!slot_has_cell(slot))
                        continue;
                if (has_folders(slot))
                        return slot;
                other = slot;
        }
        return other;
}

/* Sessions that wait, and runs that wait, take turns; spares of sessions are made last. */
static Slot *choose_empty(Template *template) {
        Slot *of_runs = choose_empty_of_runs(template);
        Slot *of_sessions =
                template->sessions.empty.n > 0 ? choose_empty_of_sessions(template) : NULL;

        if (!of_runs || !of_sessions)
                return of_runs ? of_runs : of_sessions;
        if (!of_sessions->session)
                return of_runs;
        template->session_turn = !template->session_turn || template->n_queued == 0;
        return template->session_turn ? of_sessions : of_runs;
}

static int prepare_folders(Slot *slot) {
        Workspace *workspace = &slot->template->pool->workspace;
        SlotFolders *folders = &slot->folders;

        if (slot->template->has_cell_folders || slot->of_sessions)
                return 0;
        if (!has_folders(slot))
                return workspace_remake_slot(workspace, slot->number, slot->uid, folders);
        /* The slot was emptied before the sweep, and until then what the last run had left running
         * could write to it. */
        if (slot->template->config->subprocesses)
                return workspace_empty_slot(workspace, folders, slot->uid);
        return 0;
}

/* The descriptors of its cell, and of its folders, which are the cell's or on disk. */
static void add_place(const Slot *slot, SpawnCommand *command, int fds[_SPAWN_FDS]) {
        static const SpawnFd of_cell[_CELL_FDS] = {
                [CELL_FD_PID_NAMESPACE] = SPAWN_FD_PID_NAMESPACE,
                [CELL_FD_MOUNT_NAMESPACE] = SPAWN_FD_MOUNT_NAMESPACE,
                [CELL_FD_USER_NAMESPACE] = SPAWN_FD_USER_NAMESPACE,
                [CELL_FD_DIRECTORY] = SPAWN_FD_DIRECTORY,
        };

        fds[SPAWN_FD_DIRECTORY] = slot->of_sessions ? slot->place->shared->home.directory_fd
                                                    : slot->folders.directory_fd;
        for (int i = 0; i < _CELL_FDS; i++) {
                if (slot->cell.fds[i] < 0)
                        continue;
                fds[of_cell[i]] = slot->cell.fds[i];
                if (of_cell[i] != SPAWN_FD_DIRECTORY)
                        command->optional_fds |= 1U << of_cell[i];
        }
}

/* Of a canary's slot: of the generation that is tried. */
static void count_spawn(Slot *slot) {
        Template *template = slot->template;
        Pool *pool = template->pool;

        slot->generation = canary_generation(slot);
        pool->counters.workers_started++;
        if (slot->generation != template->zygote_generation) {
                template->next_outstanding++;
                return;
        }
        template->outstanding++;
        if (template->outstanding == 1)
                timer_set(&pool->timers, &template->spawn_timer,
                          clock_now_ns() + SPAWN_REPORT_TIMEOUT_NS);
}

static int spawn(Slot *slot) {
        Template *template = slot->template;
        Zygote *zygote = generation_zygote_of(template, canary_generation(slot));
        SpawnCommand command = spares_command(slot);
        int fds[_SPAWN_FDS];
        int r;

        r = slot_check_cgroup(slot);
        if (r == 0)
                r = prepare_folders(slot);
        if (r < 0)
                return r;
        r = worker_open(&slot->worker, fds);
        if (r < 0)
                return r;
        if (slot->of_sessions) {
                r = control_open(&slot->worker.control_fd, &fds[SPAWN_FD_CONTROL]);
                if (r < 0) {
                        worker_close(&slot->worker);
                        close_child_fds(fds);
                        return r;
                }
                command.optional_fds |= 1U << SPAWN_FD_CONTROL;
        }
        add_place(slot, &command, fds);
        slot_add_cgroup(slot, &command, fds);
        r = zygote_spawn(zygote, &command, fds);
        close_child_fds(fds);
        if (r < 0) {
                worker_close(&slot->worker);
                return r;
        }

        slot->spawn_reported = false;
        slot->was_ready = slot->is_unwanted = false;
        slot->streams_watched = false;
        slot->request_watched = false;
        slot->worker.pid = 0;
        count_spawn(slot);
        if (slot->trial)
                canary_on_spawn(slot, &command);
        slot_move(slot, SLOT_EV_SPAWN);
        return 0;
}

/* As many as this may be out of service at once because they are old. */
static unsigned retire_room(const Template *template) {
        unsigned away = template->runs.n_states[SLOT_EMPTY] +
                        template->runs.n_states[SLOT_STARTING] +
                        template->runs.n_states[SLOT_RETIRING];
        unsigned most = (template->config->workers + 3) / 4;

        return away < most ? most - away : 0;
}

static void retire_old_of(const Template *template, const SlotList *idle, unsigned *room) {
        Slot *next, *slot = slot_list_first(idle);

        for (; slot && *room > 0; slot = next) {
                next = slot->next;
                if (slot->generation == template->zygote_generation)
                        continue;
                slot_move(slot, SLOT_EV_RETIRE);
                --*room;
        }
}

/* Idle workers of an older generation make room as long as enough others are there. */
static void retire_old(Template *template) {
        unsigned room = retire_room(template);

        for (int touched = 0; touched < 2; touched++)
                retire_old_of(template, &template->runs.idle[touched], &room);
        /* Spares of sessions: when the new ones will be trusted. */
        room = template->canary.sessions_proven == template->zygote_generation;
        retire_old_of(template, &template->sessions.idle[0], &room);
}

/*
 * Touching costs some milliseconds of a core, so it waits until every slot is filled, a core is
 * free, and nothing has happened for a while. One at a time, so that a burst finds the others
 * ready.
 */
static void touch(Template *template) {
        Pool *pool = template->pool;
        unsigned filled = template->runs.n_states[SLOT_IDLE] + template->runs.n_states[SLOT_BUSY];
        unsigned usable = template->config->workers - template->runs.n_states[SLOT_QUARANTINED];
        uint64_t now_ns;

        /* Nor while canaries try: more depends on them. */
        if (template->canary.generation != 0 ||
            template->runs.idle[1].n >= template->config->touched ||
            template->runs.idle[0].n == 0 || filled < usable || pool->n_touching > 0 ||
            pool->n_busy + 1 > pool->n_cores)
                return;
        now_ns = clock_now_ns();
        if (now_ns < pool->last_activity_ns + SPARES_QUIET_NS) {
                pool_wake_at(pool, pool->last_activity_ns + SPARES_QUIET_NS);
                return;
        }
        slot_move(slot_list_first(&template->runs.idle[0]), SLOT_EV_TOUCH);
}

/* Out of descriptors or disk, or the zygote is dying: try again soon. */
static void put_off(Pool *pool, uint64_t now_ns, uint64_t *ret_retry_ns) {
        *ret_retry_ns = now_ns + SPAWN_RETRY_NS;
        pool_wake_at(pool, *ret_retry_ns);
}

/* Canaries of the next generation, beside the workers of the one that serves. */
static void spawn_ahead(Template *template) {
        Pool *pool = template->pool;
        uint64_t *retry_ns = &template->canary.spawn_retry_ns;
        uint64_t now_ns = clock_now_ns();
        Slot *slot;

        while (template->next_outstanding < OUTSTANDING_MAX && !pool->sweep_wanted) {
                slot = canary_next_slot(template);
                if (!slot || !canary_is_ahead(slot))
                        return;
                if (now_ns < *retry_ns) {
                        pool_wake_at(pool, *retry_ns);
                        return;
                }
                if (spawn(slot) < 0) {
                        put_off(pool, now_ns, retry_ns);
                        return;
                }
        }
}

/* Canaries first: the others wait for what they say. */
static Slot *choose_next(Template *template) {
        Slot *slot = canary_next_slot(template);

        return slot && !canary_is_ahead(slot) ? slot : choose_empty(template);
}

void spares_refill(Template *template) {
        Pool *pool = template->pool;

        if (pool->sessions.is_open)
                session_spares_refill(template);
        cells_refill(template);
        if (!template->zygote)
                return;
        retire_old(template);
        /* A sweep takes every unknown child for a stray, so none may be on its way meanwhile. */
        while (template->outstanding < OUTSTANDING_MAX && !pool->sweep_wanted &&
               template->runs.empty.n + template->sessions.empty.n + template->canaries.empty.n >
                       0) {
                uint64_t now_ns = clock_now_ns();
                Slot *slot;

                if (now_ns < template->spawn_retry_ns) {
                        pool_wake_at(pool, template->spawn_retry_ns);
                        return;
                }
                slot = choose_next(template);
                if (!slot)
                        break;
                if (spawn(slot) < 0) {
                        put_off(pool, now_ns, &template->spawn_retry_ns);
                        return;
                }
        }
        spawn_ahead(template);
        touch(template);
}
