/* session_slots: the slots of sessions: taken, made ready, given to sessions, freed; and spares. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* After a home that could not be made for a spare: the disk is full, say. */
#define PLACE_RETRY_NS (1 * NS_PER_S)

/* --- taking and freeing --- */

/* A group that was made for another template bounds another number of tasks. */
static int prepare_cgroup(Slot *slot) {
        if (slot_cgroup_exists(&slot->cgroup)) {
                if (slot->cgroup.processes == template_tasks(slot->template))
                        return 0;
                cgroup_remove_slot(&slot->template->pool->cgroups, slot->number, &slot->cgroup);
                slot->cgroup = SLOT_CGROUP_NONE;
        }
        return slot_make_cgroup(slot);
}

/* One whose cell has copies in it stays for as long as they do; a canary's is never free. */
static bool is_on_its_way_out(const Slot *slot) {
        return slot->of_sessions && !slot->trial && !slot->is_free && slot->n_guests == 0 &&
               (slot->state == SLOT_RETIRING || (slot->state == SLOT_EMPTY && !slot->place));
}

/* Whoever waits for a slot comes before sessions that nobody has asked for yet. */
static void end_a_spare(Pool *pool) {
        Slot *spare = NULL;

        for (unsigned i = 0; i < pool->n_slots; i++) {
                Slot *slot = &pool->slots[i];

                if (is_on_its_way_out(slot))
                        return;
                if (slot->is_spare && slot->state == SLOT_IDLE)
                        spare = slot;
        }
        if (spare)
                slot_move(spare, SLOT_EV_RETIRE);
}

int session_slot_occupy(Slot *slot, Place *place, Slot *host) {
        int r = prepare_cgroup(slot);

        if (r < 0)
                return r;
        slot->uid = place->shared->home.uid;
        slot->place = place_use(place);
        slot->host = host;
        if (host)
                host->n_guests++;
        return 0;
}

/* NULL: all slots are in use. */
static Slot *take_slot(Template *template, Place *place) {
        Pool *pool = template->pool;
        Slot *slot = slot_list_first(&pool->free_slots);

        if (!slot) {
                end_a_spare(pool);
                return NULL;
        }
        slot->template = template;
        if (session_slot_occupy(slot, place, NULL) < 0)
                return NULL;
        slot_list_remove(&pool->free_slots, slot);
        slot->is_free = false;
        slot_list_push(&template->sessions.empty, slot);
        template->sessions.n_states[SLOT_EMPTY]++;
        return slot;
}

Slot *session_take_guest(Session *session, Slot *host) {
        Slot *slot = take_slot(session->template, session->place);

        if (!slot)
                return NULL;
        slot->host = host;
        host->n_guests++;
        slot->session = session;
        session->slot = slot;
        return slot;
}

void session_slot_try_free(Slot *slot) {
        Template *template = slot->template;

        if (!slot->of_sessions || slot->is_free || slot->state != SLOT_EMPTY || slot->place ||
            slot->n_guests > 0 || slot->cell.state != CELL_ABSENT)
                return;
        fork_listener_close(&slot->listener);
        if (slot->trial)
                return;
        slot_list_remove(&template->sessions.empty, slot);
        template->sessions.n_states[SLOT_EMPTY]--;
        slot->is_free = true;
        slot_list_push(&template->pool->free_slots, slot);
}

void session_slot_release(Slot *slot) {
        Slot *host = slot->host;

        /* Whatever takes its place has a cell, and a /tmp, of its own. */
        if (host && slot->place && slot->template->has_cell_folders)
                home_discard_temporary(&slot->template->pool->sessions.homes,
                                       &slot->place->shared->home, &slot->place->member);
        slot->place = place_leave(slot->place);
        slot->host = NULL;
        slot->is_deaf = slot->result.is_copy = false;
        slot->life_cpu_ns = slot->baseline_cpu_ns = slot->looked_cpu_ns = 0;
        if (host && --host->n_guests == 0 && host->state == SLOT_EMPTY && !host->place) {
                slot_end_cell(host);
                session_slot_try_free(host);
        }
        session_slot_try_free(slot);
        pool_wake_at(slot->template->pool, clock_now_ns());
}

/* Before any process was made for it, or after its place is of no use. */
void session_slot_drop(Slot *slot) {
        slot->is_given_up = true;
        session_slot_give_up(slot);
}

void session_slot_give_up(Slot *slot) {
        /* Its keeper is looking for the folders just now. */
        if (slot->cell.state == CELL_ASKED || slot->cell.state == CELL_NAMED)
                return;
        slot->is_given_up = false;
        slot_clean_cell(slot);
        session_slot_release(slot);
}

/* --- losing --- */

static const char *loss_of(Slot *slot, SlotEvent event) {
        if (slot_is_out_of_memory(slot))
                return SESSION_LOSS_OF_MEMORY;
        /* Where a cell ends with its worker, the worker's end is what the slot is retired for. */
        if (event == SLOT_EV_RETIRE && slot_worker_is_gone(slot))
                event = SLOT_EV_EXIT;
        return session_loss_of_event(event);
}

void session_slot_lost(Slot *slot, SlotEvent event) {
        Session *session = slot->session;

        if (slot->is_spare) {
                slot->is_spare = false;
                slot->template->n_session_spares--;
                place_doom(slot->place);
        }
        if (slot->state == SLOT_QUARANTINED)
                slot->place = place_leave(slot->place);
        if (!session)
                return;
        if (session->state == SESSION_STARTING) {
                /* Another one is made; what is wrong with all of them, the template says. */
                slot->session = NULL;
                session->slot = NULL;
                return;
        }
        session_lose(session, loss_of(slot, event));
}

void session_detach(Session *session) {
        Slot *slot = session->slot;

        session->cpu_before_ns = session_cpu_ns(session);
        session->slot = NULL;
        if (!slot)
                return;
        slot->session = NULL;
        session_end_interrupt(slot);
        switch (slot->state) {
        case SLOT_EMPTY:
                session_slot_drop(slot);
                break;
        case SLOT_BUSY:
                /* It is answered in the next turn, with what it has written. */
                slot->run->session = NULL;
                if (slot->cause == CAUSE_NONE)
                        slot->cause = CAUSE_CANCELLED;
                slot_kill_tree(slot);
                timer_set(&session->pool->timers, &slot->timer, clock_now_ns());
                break;
        case SLOT_STARTING:
                slot->is_unwanted = true;
                slot_move(slot, SLOT_EV_RETIRE);
                break;
        case SLOT_IDLE:
        case SLOT_HELD:
        case SLOT_FORKING:
                slot_move(slot, SLOT_EV_RETIRE);
                break;
        case SLOT_TOUCHING:
        case SLOT_PROBING:
        case SLOT_RETIRING:
        case SLOT_QUARANTINED:
        case _SLOT_STATES:
                break;
        }
}

/* --- getting --- */

/* The link is in a folder that the process may write to: it may take it away again. */
static void make_alias(const Session *session) {
        const Slot *slot = session->slot;
        _autoclose_ int fd = -1;

        if (session->alias[0] == '\0' || slot->host || !slot->template->has_cell_folders)
                return;
        fd = cell_open_folder(&slot->cell, "tmp");
        if (fd < 0)
                return;
        if (symlinkat(session->workspace_path, fd, session->alias) < 0 && errno != EEXIST)
                log_warning("session %s: no link to its workspace: %s", session->id,
                            strerror(errno));
}

void session_hold(Session *session, Slot *slot) {
        session->slot = slot;
        slot->session = session;
        if (slot->is_spare) {
                slot->is_spare = false;
                slot->template->n_session_spares--;
        } else {
                session_measure(session, clock_now_ns());
        }
        session_want_no_more(session);
        session->is_bound = false;
        session->pool->last_activity_ns = clock_now_ns();
        make_alias(session);
        slot_move(slot, SLOT_EV_HOLD);
        session_move(session, SESSION_EV_HELD);
        session_arm_end(session);
}

void session_want(Session *session) {
        Pool *pool = session->pool;
        uint64_t now_ns = clock_now_ns();

        session_move(session, SESSION_EV_WANT);
        if (!session->is_listed_starting) {
                session->is_listed_starting = true;
                session->next_starting = pool->sessions.starting;
                pool->sessions.starting = session;
        }
        timer_set(&pool->timers, &session->timer, now_ns + pool->config.queue_wait_ms * NS_PER_MS);
        pool_wake_at(pool, now_ns);
}

void session_want_no_more(Session *session) {
        Session **at = &session->pool->sessions.starting;

        if (!session->is_listed_starting)
                return;
        while (*at != session)
                at = &(*at)->next_starting;
        *at = session->next_starting;
        session->is_listed_starting = false;
}

static void settle(Session *session) {
        Slot *slot = session->slot;

        if (!slot) {
                slot = take_slot(session->template, session->place);
                if (!slot)
                        return;
                session->slot = slot;
                slot->session = session;
        }
        if (slot->state == SLOT_IDLE && canary_trusts(slot)) {
                session_hold(session, slot);
                session_assign(session);
        }
}

void sessions_settle(Pool *pool) {
        Session *next;

        if (pool->sessions.forks)
                sessions_settle_forks(pool);
        if (pool->sessions.cancelled_first)
                sessions_answer_cancelled(pool);
        for (Session *session = pool->sessions.starting; session; session = next) {
                next = session->next_starting;
                settle(session);
        }
}

/* --- spares --- */

Slot *session_spare(Template *template) {
        for (Slot *slot = slot_list_first(&template->sessions.idle[0]); slot; slot = slot->next) {
                if (slot->is_spare && canary_trusts(slot))
                        return slot;
        }
        return NULL;
}

void session_spares_refill(Template *template) {
        Pool *pool = template->pool;
        uint64_t now_ns;

        if (template->n_session_spares >= template->config->session_spares || !template->zygote ||
            pool->draining)
                return;
        now_ns = clock_now_ns();
        /* While one is left, the next can wait: to make it takes milliseconds of a core and of the
         * disk, which the first run of the session that has just been made would have to wait for.
         */
        if (now_ns < pool->last_activity_ns + SPARES_QUIET_NS && session_spare(template)) {
                pool_wake_at(pool, pool->last_activity_ns + SPARES_QUIET_NS);
                return;
        }
        while (template->n_session_spares < template->config->session_spares &&
               pool->free_slots.n > 0) {
                uint64_t retry_ns = pool->sessions.place_retry_ns;
                Place *place;
                Slot *slot;

                if (retry_ns < template->spawn_retry_ns)
                        retry_ns = template->spawn_retry_ns;
                if (now_ns < retry_ns) {
                        pool_wake_at(pool, retry_ns);
                        return;
                }
                if (place_make(pool, !template->has_cell_folders, &place) < 0) {
                        pool->sessions.place_retry_ns = now_ns + PLACE_RETRY_NS;
                        continue;
                }
                slot = take_slot(template, place);
                if (slot) {
                        slot->is_spare = true;
                        template->n_session_spares++;
                } else {
                        place_doom(place);
                        pool->sessions.place_retry_ns = now_ns + PLACE_RETRY_NS;
                }
                place_leave(place);
        }
}

void session_spawn_command(const Slot *slot, struct SpawnCommand *command) {
        const PoolConfig *config = &slot->template->pool->config;
        const Place *place = slot->place;
        uint64_t file_bytes = config->session_disk_mb << 20;

        command->flags |= SPAWN_SESSION | SPAWN_REHEARSE;
        command->flags &= ~(uint32_t) SPAWN_RESET;
        /* Its clock goes on over its runs: the limits are the supervisor's to hold. */
        command->cpu_seconds = UINT32_MAX;
        if (command->file_bytes < file_bytes)
                command->file_bytes = file_bytes;
        /* The members of a home have one uid, and the kernel counts by uid. */
        if (command->tasks != SPAWN_TASKS_SHARED)
                command->tasks += HOME_MEMBERS_MAX;
        command->member = place->member.number;
        (void) snprintf(command->folder, sizeof(command->folder), "%s", place_folder(place));
        if (!slot->template->has_cell_folders) {
                home_renew_temporary(place->shared->homes, &place->shared->home, &place->member);
                home_path(place->shared->homes, &place->shared->home, command->directory,
                          sizeof(command->directory));
        }
}
