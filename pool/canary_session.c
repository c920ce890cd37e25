/* canary_session: the canary of a session: its home, and how it is copied. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/session_fork.h"

/* After a home that could not be made. */
#define HOME_RETRY_NS (1 * NS_PER_S)

static Trial *trial_of(Template *template, ProofSubject subject) {
        return &template->canary.trials[subject];
}

/* --- its home, and that of another session --- */

static int put_secret(const Place *place) {
        _autoclose_ int fd = openat(place->member.work_fd, "secret",
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        uid_t uid = place->shared->home.uid;

        if (fd < 0 || write(fd, "secret", 6) != 6 || (uid != 0 && fchown(fd, uid, uid) < 0))
                return raise_errno("give a canary something to look for");
        return 0;
}

/* They go with their last user, and no later server takes them for a session's. */
static int make_home(Pool *pool, bool has_tmp, Place **ret_place) {
        Place *place;
        int r = place_make(pool, has_tmp, &place);

        if (r < 0)
                return r;
        place_doom(place);
        r = put_secret(place);
        if (r < 0) {
                place_leave(place);
                return r;
        }
        *ret_place = place;
        return 0;
}

static int give_homes(Template *template) {
        Canary *canary = &template->canary;
        Slot *slot = trial_of(template, PROOF_OF_SESSIONS)->slot;
        Place *place;
        int r;

        r = make_home(template->pool, false, &canary->other);
        if (r < 0)
                return r;
        r = make_home(template->pool, !template->has_cell_folders, &place);
        if (r == 0) {
                r = session_slot_occupy(slot, place, NULL);
                place_leave(place);
        }
        if (r < 0)
                canary->other = place_leave(canary->other);
        return r;
}

static void prepare(Template *template) {
        Canary *canary = &template->canary;
        Pool *pool = template->pool;
        uint64_t now_ns = clock_now_ns();

        if (!trial_is_vacant(trial_of(template, PROOF_OF_SESSIONS)) || canary->other)
                return;
        if (now_ns < canary->home_retry_ns) {
                pool_wake_at(pool, canary->home_retry_ns);
                return;
        }
        /* Without room for a home there can be no session either: runs need not wait for it. */
        canary->is_put_off = give_homes(template) < 0;
        if (canary->is_put_off) {
                canary->home_retry_ns = now_ns + HOME_RETRY_NS;
                pool_wake_at(pool, canary->home_retry_ns);
        }
}

/* --- a copy of it --- */

static void end_fork(Canary *canary) {
        Fork *fork = canary->fork;

        if (!fork)
                return;
        if (fork_is_unnamed(fork))
                fork->pool->sweep_wanted = true;
        fork_close_copy(fork);
        canary->fork = NULL;
        free(fork);
}

static int start_fork(Template *template, Slot *source, Slot *guest) {
        Fork *fork = calloc(1, sizeof(*fork));
        Place *place;
        int r;

        if (!fork)
                return raise_error(-ENOMEM, "allocate the fork of a canary");
        *fork = (Fork){.pool = template->pool,
                       .phase = FORK_PROCESS,
                       .source_slot = source,
                       .host = source,
                       .copy = COPY_NONE};
        template->canary.fork = fork;
        r = place_add(source->place, &place);
        if (r < 0)
                return r;
        place_doom(place);
        r = session_slot_occupy(guest, place, source);
        place_leave(place);
        if (r < 0)
                return r;
        slot_move(source, SLOT_EV_FORK);
        return fork_order_into(fork, guest);
}

/* That a session cannot be copied breaks nothing: it is not copied then. */
static void give_up_copy(Template *template) {
        Trial *copy = trial_of(template, PROOF_OF_COPIES);
        Slot *source = trial_of(template, PROOF_OF_SESSIONS)->slot;
        bool is_late = template->canary.fork && template->canary.fork->is_ordered;

        end_fork(&template->canary);
        trial_drop(copy);
        if (source->state == SLOT_FORKING)
                slot_move(source, is_late ? SLOT_EV_DEADLINE : SLOT_EV_FORKED);
        if (++template->canary.copy_tries < COPY_TRIES)
                return;
        log_warning("template %s: a session cannot be copied here, and none will be generation=%u",
                    template->config->name, template->canary.generation);
        copy->state = TRIAL_IMPOSSIBLE;
}

static bool can_be_copied(const Slot *source) {
        const Template *template = source->template;

        return template->layers & layer_bit(LAYER_LANDLOCK) && !template->ends_cells &&
               source->listener.fd >= 0 && source->worker.control_fd >= 0;
}

static void begin_copy(Template *template, Slot *source) {
        Trial *copy = trial_of(template, PROOF_OF_COPIES);

        if (!can_be_copied(source)) {
                copy->state = TRIAL_IMPOSSIBLE;
                return;
        }
        if (trial_is_vacant(copy) && !template->pool->sweep_wanted &&
            start_fork(template, source, copy->slot) < 0)
                give_up_copy(template);
}

static void await_copy(Template *template, Slot *source) {
        const Fork *fork = template->canary.fork;
        Trial *copy = trial_of(template, PROOF_OF_COPIES);
        bool has_gone = fork->has_process &&
                        (copy->slot->state == SLOT_EMPTY || copy->slot->state == SLOT_RETIRING);

        if (copy->slot->state == SLOT_IDLE && !fork->is_ordered) {
                end_fork(&template->canary);
                copy->was_asked = copy->was_made = true;
                slot_move(source, SLOT_EV_FORKED);
                slot_move(copy->slot, SLOT_EV_PROBE);
        } else if (fork->is_late || (!fork->is_ordered && (has_gone || fork->source_error))) {
                give_up_copy(template);
        }
}

/* --- the moves --- */

void canary_advance_sessions(Template *template) {
        Trial *trial = trial_of(template, PROOF_OF_SESSIONS);
        TrialState copy = trial_of(template, PROOF_OF_COPIES)->state;
        Slot *slot = trial->slot;

        if (trial->state != TRIAL_WAITS)
                return;
        if (slot->state == SLOT_EMPTY && !trial->was_asked)
                prepare(template);
        if (slot->state == SLOT_IDLE) {
                trial->was_made = true;
                slot_move(slot, SLOT_EV_HOLD);
        }
        if (template->canary.fork) {
                await_copy(template, slot);
        } else if (slot->state == SLOT_HELD && slot->worker.control_is_introduced) {
                if (copy == TRIAL_WAITS)
                        begin_copy(template, slot);
                else if (copy == TRIAL_HOLDS || copy == TRIAL_IMPOSSIBLE)
                        slot_move(slot, SLOT_EV_PROBE);
        }
}

bool trial_is_vacant(const Trial *trial) {
        const Slot *slot = trial->slot;

        return slot->state == SLOT_EMPTY && !slot->place && slot->n_guests == 0 &&
               slot->cell.state == CELL_ABSENT;
}

void trial_drop(Trial *trial) {
        Slot *slot = trial->slot;

        if (!slot)
                return;
        if (trial->subject == PROOF_OF_COPIES)
                end_fork(&slot->template->canary);
        if (trial->subject == PROOF_OF_SESSIONS)
                slot->template->canary.other = place_leave(slot->template->canary.other);
        if (slot->state == SLOT_EMPTY) {
                if (slot->place)
                        session_slot_drop(slot);
        } else if (slot->state != SLOT_RETIRING && slot->state != SLOT_QUARANTINED) {
                slot->is_unwanted = true;
                slot_move(slot, SLOT_EV_RETIRE);
        }
}

void canary_free(Template *template) {
        Canary *canary = &template->canary;

        if (canary->fork) {
                worker_close(&canary->fork->copy.worker);
                close_fd(&canary->fork->copy.control_fd);
                free(canary->fork);
                canary->fork = NULL;
        }
        canary->other = place_leave(canary->other);
}
