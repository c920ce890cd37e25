/*
 * session_fork: a copy of a live session. Its files are copied by a thread, then its process copies
 * itself (pool/copy.h); meanwhile the source runs nothing. What comes of a fork is decided in one
 * place, settle_fork(), once in each turn; everything else only notes what has happened.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/session_fork.h"
#include "pool/tree.h"

/* --- what comes of it --- */

static Slot *host_of(Slot *slot) {
        return slot->host ? slot->host : slot;
}

static void unlink_fork(Fork *fork) {
        Fork **at = &fork->pool->sessions.forks;

        while (*at != fork)
                at = &(*at)->next;
        *at = fork->next;
}

/* The source goes on, if it can. */
static void release_source(Fork *fork) {
        Session *source = fork->source;
        Slot *slot = fork->source_slot;

        if (!source)
                return;
        source->fork = NULL;
        if (fork->is_ordered) {
                /* A thread of its code holds what it needs, or its code has a hook that does not
                 * end. */
                session_lose(source, "it did not answer when it was to be copied");
                slot_move(slot, SLOT_EV_DEADLINE);
                return;
        }
        if (slot->state == SLOT_FORKING)
                slot_move(slot, SLOT_EV_FORKED);
        session_move(source, SESSION_EV_FORK_END);
        session_use(source);
        session_assign(source);
}

static void end_fork(Fork *fork, int result) {
        Session *target = fork->target;
        ForkCallback callback = fork->callback;
        ForkNotes notes = {0};

        unlink_fork(fork);
        if (fork_is_unnamed(fork))
                fork->pool->sweep_wanted = true;
        fork_close_copy(fork);
        if (target) {
                target->fork = NULL;
                if (result == POOL_OK) {
                        const WireForkNotes *said = &target->slot->result.fork_notes;

                        notes = (ForkNotes){said->threads, said->sockets, said->open_files};
                        session_hold(target, target->slot);
                        session_write_record(target);
                        fork->pool->counters.sessions_made++;
                } else {
                        session_remove(target);
                        target = NULL;
                }
        }
        release_source(fork);
        free(fork);
        if (target)
                session_assign(target);
        callback.done(callback.data, result, target, &notes);
}

static void order_again(Fork *fork) {
        int r = fork_order_copy(fork);

        if (r != 0)
                end_fork(fork, r == -ENOTSUP || r == -EAGAIN ? SESSION_E_UNFORKABLE : r);
}

/* Another try, or the end. */
static void try_again(Fork *fork) {
        if (fork_is_unnamed(fork)) {
                /* If it was made all the same, it is a stranger. */
                fork->pool->sweep_wanted = true;
                fork_close_copy(fork);
        }
        session_detach(fork->target);
        if (fork->tries >= COPY_TRIES) {
                log_warning("a session cannot be copied session=%u error=%d", fork->source->index,
                            fork->source_error);
                end_fork(fork, SESSION_E_UNFORKABLE);
                return;
        }
        order_again(fork);
}

/* Threads of its code go on while its files are copied, and may enter the folders of the copy. */
static int blame(int error) {
        return tree_is_disturbed(error) ? SESSION_E_DISTURBED : error;
}

static void settle_files(Fork *fork) {
        fork->phase = FORK_PROCESS;
        if (fork->files_result < 0) {
                end_fork(fork, fork->files_result == -EDQUOT ? SESSION_E_TOO_LARGE
                                                             : blame(fork->files_result));
                return;
        }
        slot_move(fork->source_slot, SLOT_EV_FORK);
        order_again(fork);
}

static void settle_process(Fork *fork) {
        const Slot *copy = fork->target->slot;
        bool has_failed = fork->has_process && !copy;

        if (fork->waits && !fork->is_late) {
                order_again(fork);
        } else if (fork->waits) {
                end_fork(fork, SESSION_E_TOO_MANY);
        } else if (copy && copy->state == SLOT_IDLE && !fork->is_ordered) {
                end_fork(fork, POOL_OK);
        } else if (fork->is_late && fork->is_ordered) {
                end_fork(fork, SESSION_E_UNFORKABLE);
        } else if (fork->is_late || (!fork->is_ordered && (has_failed || fork->source_error))) {
                try_again(fork);
        }
}

static void settle_fork(Fork *fork) {
        /* A thread is at work in their folders. */
        if (fork->phase == FORK_FILES && !fork->has_files)
                return;
        if (!fork->source) {
                end_fork(fork, fork->target ? SESSION_E_LOST : -ECANCELED);
        } else if (!fork->target) {
                /* What the source has been told it does. */
                if (!fork->is_ordered || fork->is_late)
                        end_fork(fork, -ECANCELED);
        } else if (fork->phase == FORK_FILES) {
                settle_files(fork);
        } else {
                settle_process(fork);
        }
}

void sessions_settle_forks(Pool *pool) {
        Fork *next;

        for (Fork *fork = pool->sessions.forks; fork; fork = next) {
                next = fork->next;
                settle_fork(fork);
        }
}

void session_fork_gone(Session *session) {
        Fork *fork = session->fork;

        if (!fork)
                return;
        session->fork = NULL;
        if (fork->target == session)
                fork->target = NULL;
        if (fork->source == session) {
                fork->source = NULL;
                fork->is_ordered = false;
                fork_close_copy(fork);
                fork->pool->sweep_wanted = true;
        }
        pool_wake_at(fork->pool, clock_now_ns());
}

void sessions_free_forks(Pool *pool) {
        while (pool->sessions.forks) {
                Fork *fork = pool->sessions.forks;

                pool->sessions.forks = fork->next;
                /* What is half a copy is nothing for a later server. */
                if (fork->target)
                        place_doom(fork->target->place);
                worker_close(&fork->copy.worker);
                close_fd(&fork->copy.control_fd);
                free(fork);
        }
}

/* --- the request --- */

/* 0: it is no copy. */
static unsigned generation_of(const HomeMember *member) {
        unsigned generation = member->number > 0;

        for (const char *at = member->folder; (at = strchr(at, '/')); at++)
                generation++;
        return generation;
}

static int check_source(const Session *source) {
        const Slot *slot = source->slot;

        if (source->state == SESSION_LOST)
                return SESSION_E_LOST;
        if (source->state != SESSION_IDLE || slot->answers)
                return SESSION_E_BUSY;
        /* Nothing else keeps the copies of one home apart: they have one uid. */
        if (!(source->template->layers & layer_bit(LAYER_LANDLOCK)))
                return SESSION_E_UNFORKABLE;
        if (generation_of(&source->place->member) >= SESSION_GENERATIONS_MAX)
                return SESSION_E_TOO_DEEP;
        /* Nor where it has been tried in vain, or has not been shown to keep them apart. */
        if (!canary_trusts_copies(slot))
                return SESSION_E_UNFORKABLE;
        if (source->forgets || source->template->ends_cells ||
            host_of(source->slot)->listener.fd < 0 || slot->worker.control_fd < 0)
                return SESSION_E_UNFORKABLE;
        return POOL_OK;
}

/* What has too many files, or folders that are too deep, counts as more than there is disk: that is
 * the session's fault, and what copies the files says so. */
static uint64_t bytes_to_copy(const Session *source) {
        uint64_t bytes = session_disk_bytes(source), most = fork_bytes_max(source);

        return bytes < most ? bytes : most;
}

static int make_target(Session *source, const SessionOptions *options, Session **ret_target) {
        SessionOptions mine = *options;
        Session *target;
        Place *place;
        int r;

        if (pool_disk_is_short(source->pool, bytes_to_copy(source)))
                return SESSION_E_NO_DISK;
        mine.template = source->template->index;
        mine.limits = source->limits;
        mine.forgets = false;
        r = session_prepare(source->pool, &mine, &target);
        if (r != POOL_OK)
                return r;
        r = place_add(source->place, &place);
        if (r < 0) {
                free(target);
                return r == -EUSERS ? SESSION_E_WORN_OUT : blame(r);
        }
        (void) snprintf(target->forked_from, sizeof(target->forked_from), "%s", source->id);
        session_set_place(target, place);
        r = session_register(target);
        if (r < 0) {
                place_doom(place);
                place_leave(place);
                free(target);
                return r == -ENOSPC ? SESSION_E_TOO_MANY : r;
        }
        *ret_target = target;
        return POOL_OK;
}

static int start_fork(Session *source, const SessionOptions *options,
                      const ForkCallback *callback) {
        Pool *pool = source->pool;
        Fork *fork = calloc(1, sizeof(*fork));
        int r;

        if (!fork)
                return raise_error(-ENOMEM, "allocate a fork");
        *fork = (Fork){.pool = pool,
                       .source = source,
                       .callback = *callback,
                       .source_slot = source->slot,
                       .host = host_of(source->slot),
                       .copy = COPY_NONE};
        r = make_target(source, options, &fork->target);
        if (r == POOL_OK) {
                r = fork_start_files(fork);
                if (r < 0)
                        session_remove(fork->target);
        }
        if (r != POOL_OK) {
                free(fork);
                return r == -EAGAIN ? SESSION_E_TOO_MANY : r;
        }
        fork->next = pool->sessions.forks;
        pool->sessions.forks = fork;
        source->fork = fork->target->fork = fork;
        return POOL_OK;
}

int session_fork(Session *source, const SessionOptions *options, const ForkCallback *callback) {
        int r = check_source(source);

        /* What will not change by itself is said first. */
        if (options->id.size > 0 && session_find(source->pool, options->space, options->id))
                return SESSION_E_EXISTS;
        if (r != POOL_OK)
                return r;
        /* First of all: it is not the one that makes room. */
        session_move(source, SESSION_EV_FORK);
        timer_clear(&source->pool->timers, &source->timer);
        r = start_fork(source, options, callback);
        if (r != POOL_OK) {
                session_move(source, SESSION_EV_FORK_END);
                session_arm_end(source);
                return r;
        }
        return timer_heap_arm(&source->pool->timers);
}
