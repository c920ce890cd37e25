/*
 * session_fork: a copy of a live session. Its files are copied by a thread, then its process copies
 * itself (pool/copy.h); meanwhile the source runs nothing. What comes of a fork is decided in one
 * place, settle_fork(), once in each turn; everything else only notes what has happened.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"
#include "pool/tree.h"

/* Of one workspace. */
#define COPY_ENTRIES_MAX 100000

typedef enum ForkPhase { FORK_FILES, FORK_PROCESS } ForkPhase;

struct Fork {
        Fork *next;
        Pool *pool;
        Session *source, *target; /* NULL: it has ended, or lost its process */
        ForkCallback callback;
        ForkPhase phase;
        bool has_files;
        int files_result;
        Slot *source_slot, *host; /* host: whose listener speaks for the source */
        unsigned tries;
        bool waits;       /* for a slot */
        bool is_ordered;  /* the source has been told, and has not answered … */
        bool has_process; /* … and the copy has said who it is */
        bool is_late;
        int source_error;
        Copy copy;
};

typedef struct FileCopy {
        Chore chore;
        Fork *fork; /* lives until this is done */
        Place *from, *to;
        uint64_t bytes_max;
        uid_t uid;
} FileCopy;

/* --- files --- */

static int copy_files(Chore *chore) {
        FileCopy *copy = (FileCopy *) chore;
        int r;

        r = tree_copy(copy->from->member.work_fd, copy->to->member.work_fd, copy->uid,
                      copy->bytes_max, COPY_ENTRIES_MAX);
        if (r < 0)
                return r;
        return tree_link(copy->from->member.packages_fd, copy->to->member.packages_fd,
                         COPY_ENTRIES_MAX);
}

static void on_files_copied(Chore *chore, int result) {
        FileCopy *copy = (FileCopy *) chore;

        copy->fork->has_files = true;
        copy->fork->files_result = result;
        place_leave(copy->from);
        place_leave(copy->to);
        free(copy);
}

static int start_files(Fork *fork) {
        FileCopy *copy = calloc(1, sizeof(*copy));
        int r;

        if (!copy)
                return raise_error(-ENOMEM, "allocate a copy of files");
        *copy = (FileCopy){
                .chore = {.work = copy_files, .done = on_files_copied},
                .fork = fork,
                .from = place_use(fork->source->place),
                .to = place_use(fork->target->place),
                /* As much as there may be, and what has been allowed beyond that. */
                .bytes_max = fork->source->limits.of[LIMIT_DISK_MB] << 21,
                .uid = session_uid(fork->target),
        };
        r = chores_add(fork->pool->chores, &copy->chore);
        if (r < 0) {
                place_leave(copy->from);
                place_leave(copy->to);
                free(copy);
        }
        return r;
}

/* --- the process --- */

static Slot *host_of(Slot *slot) {
        return slot->host ? slot->host : slot;
}

static bool is_unnamed(const Fork *fork) {
        return fork->copy.control_fd >= 0;
}

static void close_copy(Fork *fork) {
        if (!is_unnamed(fork))
                return;
        fork->pool->sessions.n_copies_unnamed--;
        copy_close(&fork->copy, &fork->host->listener);
}

static int order_copy(Fork *fork) {
        Pool *pool = fork->pool;
        Slot *slot = fork->source_slot, *guest;
        char directory[160] = "";
        CopyOrder order = {
                .source = slot->worker.pid,
                .source_control_fd = slot->worker.control_fd,
                .listener = &fork->host->listener,
                .member = fork->target->place->member.number,
                .folder = place_folder(fork->target->place),
                .directory = directory,
        };
        int r;

        guest = session_take_guest(fork->target, fork->host);
        fork->waits = !guest;
        if (!guest) {
                timer_set(&pool->timers, &slot->timer, clock_now_ns() + COPY_TIMEOUT_NS);
                return 0;
        }
        if (!slot->template->has_cell_folders)
                home_path(&pool->sessions.homes, &fork->target->place->shared->home, directory,
                          sizeof(directory));
        guest->generation = slot->generation;
        r = copy_order(&fork->copy, &order);
        if (r < 0)
                return r;
        pool->sessions.n_copies_unnamed++;
        r = pool_watch(pool, fork->copy.control_fd, SOURCE_CONTROL, guest->number, 0);
        if (r < 0)
                return r;
        fork->tries++;
        fork->is_ordered = true;
        fork->has_process = fork->is_late = false;
        fork->source_error = 0;
        timer_set(&pool->timers, &slot->timer, clock_now_ns() + COPY_TIMEOUT_NS);
        return 0;
}

static bool is_anothers(const Pool *pool, pid_t pid) {
        for (unsigned i = 0; i < pool->n_slots; i++) {
                if (pool->slots[i].worker.pid == pid || pool->slots[i].cell.keeper_pid == pid)
                        return true;
        }
        return false;
}

/* It was born in its source's group. */
static int move_to_group(const Slot *slot, pid_t pid) {
        int fds[] = {slot->cgroup.memory_procs_fd, slot->cgroup.pids_procs_fd, -1};
        _autoclose_ int procs_fd = -1;

        if (!slot_cgroup_exists(&slot->cgroup))
                return 0;
        if (slot->cgroup.directory_fd >= 0)
                fds[2] = procs_fd =
                        openat(slot->cgroup.directory_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
                if (fds[i] >= 0 && dprintf(fds[i], "%d", pid) < 0)
                        return raise_errno("move process %d into the group of slot %u", pid,
                                           slot->number);
        }
        return slot->cgroup.directory_fd >= 0 && procs_fd < 0
                       ? raise_error(-EIO, "open the group of slot %u", slot->number)
                       : 0;
}

/* From now on it is a worker as any other, that is being prepared. */
static int take_process(Fork *fork, Slot *slot, pid_t pid) {
        Pool *pool = fork->pool;
        Copy *copy = &fork->copy;
        int r;

        slot->worker = copy->worker;
        slot->worker.control_fd = copy->control_fd;
        copy->worker = WORKER_NONE;
        copy->control_fd = -1;
        copy_close(copy, &fork->host->listener);
        pool->sessions.n_copies_unnamed--;
        slot->spawn_reported = true;
        slot->was_ready = false;
        slot->streams_watched = slot->request_watched = false;
        slot->result.is_copy = true;
        r = worker_attach(&slot->worker, pid);
        if (r == 0)
                r = pool_watch(pool, slot->worker.pidfd, SOURCE_EXIT, slot->number, 0);
        if (r == 0)
                r = pool_watch(pool, slot->worker.result_fd, SOURCE_RESULT, slot->number, 0);
        if (r == 0)
                r = move_to_group(slot, pid);
        slot->worker.meter.baseline_kb = fork->source_slot->worker.meter.baseline_kb;
        pool->counters.workers_started++;
        slot_move(slot, SLOT_EV_SPAWN);
        return r;
}

static Fork *fork_of_target(const Slot *slot) {
        Fork *fork = slot->session ? slot->session->fork : NULL;

        return fork && fork->target == slot->session ? fork : NULL;
}

/* On the socket of a copy that has no process yet. */
static void hear_copy(Slot *slot) {
        Fork *fork = fork_of_target(slot);
        pid_t pid = 0;
        int r;

        if (!fork || !is_unnamed(fork))
                return;
        r = copy_receive(&fork->copy, &pid);
        if (r == 0)
                return;
        if (r < 0 || is_anothers(fork->pool, pid)) {
                /* The deadline, or the source's answer, decides what follows. */
                pool_unwatch(fork->pool, fork->copy.control_fd);
                return;
        }
        fork->has_process = true;
        if (take_process(fork, slot, pid) < 0)
                slot_move(slot, SLOT_EV_RETIRE);
}

static void take_listener(Slot *slot, int fd) {
        Pool *pool = slot->template->pool;

        /* A copy shares its source's. */
        if (fd < 0)
                return;
        if (slot->host || slot->listener.fd >= 0) {
                close_fd(&fd);
                return;
        }
        if (fork_listener_take(&slot->listener, fd) < 0)
                return;
        if (pool_watch(pool, slot->listener.fd, SOURCE_LISTENER, slot->number, 0) < 0)
                fork_listener_close(&slot->listener);
}

void session_on_control(Slot *slot) {
        Pool *pool = slot->template->pool;

        if (slot->state == SLOT_EMPTY) {
                hear_copy(slot);
                return;
        }
        while (slot->worker.control_fd >= 0) {
                Fork *fork = slot->session ? slot->session->fork : NULL;
                ControlNews news;
                int r = control_receive(slot->worker.control_fd, &news);

                if (r == 0)
                        return;
                if (r < 0) {
                        pool_unwatch(pool, slot->worker.control_fd);
                        close_fd(&slot->worker.control_fd);
                        return;
                }
                if (news.kind == CONTROL_LISTENER && news.sender == slot->worker.pid) {
                        take_listener(slot, news.fd);
                        continue;
                }
                close_fd(&news.fd);
                if (news.kind == CONTROL_FORKED && fork && fork->source_slot == slot) {
                        fork->is_ordered = false;
                        fork->source_error = news.error;
                }
        }
}

void session_on_listener(Slot *slot) {
        if (slot->listener.fd < 0)
                return;
        if (fork_listener_answer(&slot->listener) < 0) {
                pool_unwatch(slot->template->pool, slot->listener.fd);
                fork_listener_close(&slot->listener);
        }
}

void session_fork_on_deadline(Slot *slot) {
        Fork *fork = slot->session ? slot->session->fork : NULL;

        if (fork && fork->source_slot == slot)
                fork->is_late = true;
        else
                slot_move(slot, SLOT_EV_DEADLINE);
}

/* --- what comes of it --- */

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
        if (is_unnamed(fork))
                fork->pool->sweep_wanted = true;
        close_copy(fork);
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
        int r = order_copy(fork);

        if (r != 0)
                end_fork(fork, r == -ENOTSUP || r == -EAGAIN ? SESSION_E_UNFORKABLE : r);
}

/* Another try, or the end. */
static void try_again(Fork *fork) {
        if (is_unnamed(fork)) {
                /* If it was made all the same, it is a stranger. */
                fork->pool->sweep_wanted = true;
                close_copy(fork);
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

static void settle_files(Fork *fork) {
        fork->phase = FORK_PROCESS;
        if (fork->files_result < 0) {
                end_fork(fork, fork->files_result);
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
                close_copy(fork);
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

static int check_source(const Session *source) {
        const Slot *slot = source->slot;

        if (source->state == SESSION_LOST)
                return SESSION_E_LOST;
        if (source->state != SESSION_IDLE || slot->answers)
                return SESSION_E_BUSY;
        if (source->forgets || source->template->ends_cells ||
            host_of(source->slot)->listener.fd < 0 || slot->worker.control_fd < 0)
                return SESSION_E_UNFORKABLE;
        return POOL_OK;
}

static int make_target(Session *source, const SessionOptions *options, Session **ret_target) {
        SessionOptions mine = *options;
        Session *target;
        Place *place;
        int r;

        mine.template = source->template->index;
        mine.limits = source->limits;
        mine.forgets = false;
        r = session_prepare(source->pool, &mine, &target);
        if (r != POOL_OK)
                return r;
        r = place_add(source->place, &place);
        if (r < 0) {
                free(target);
                return r;
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
                r = start_files(fork);
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
