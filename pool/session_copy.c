/* session_copy: how the files and the process of a session are copied. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/session_fork.h"
#include "pool/tree.h"

/* Of the packages of one session. */
#define PACKAGE_ENTRIES_MAX 100000

/* For a slot, or for a sweep: that waits for workers and cells that have been asked for, and for
 * other copies, which all have their own deadlines of some seconds. */
#define WAIT_NS (10 * NS_PER_S)

typedef struct FileCopy {
        Chore chore;
        Fork *fork; /* lives until this is done */
        Place *from, *to;
        uint64_t bytes_max, entries_max;
        uid_t uid;
} FileCopy;

/* --- files --- */

static bool is_small(int folder_fd) {
        uint64_t bytes, entries;

        return tree_measure(folder_fd, CHORE_SHORT_ENTRIES, &bytes, &entries) == 0 &&
               bytes <= CHORE_SHORT_BYTES;
}

static int copy_files(Chore *chore) {
        FileCopy *copy = (FileCopy *) chore;
        int r;

        if (!chore->is_long &&
            (!is_small(copy->from->member.work_fd) || !is_small(copy->from->member.packages_fd)))
                return CHORE_IS_LONG;
        r = tree_copy(copy->from->member.work_fd, copy->to->member.work_fd, copy->uid,
                      copy->bytes_max, copy->entries_max);
        if (r < 0)
                return r;
        return tree_link(copy->from->member.packages_fd, copy->to->member.packages_fd,
                         PACKAGE_ENTRIES_MAX);
}

static void on_files_copied(Chore *chore, int result) {
        FileCopy *copy = (FileCopy *) chore;

        copy->fork->has_files = true;
        copy->fork->files_result = result;
        place_leave(copy->from);
        place_leave(copy->to);
        free(copy);
}

/* As much as there may be, and what has been allowed beyond that. */
uint64_t fork_bytes_max(const Session *source) {
        return source->limits.of[LIMIT_DISK_MB] << 21;
}

int fork_start_files(Fork *fork) {
        FileCopy *copy = calloc(1, sizeof(*copy));
        int r;

        if (!copy)
                return raise_error(-ENOMEM, "allocate a copy of files");
        *copy = (FileCopy){
                .chore = {.work = copy_files, .done = on_files_copied},
                .fork = fork,
                .from = place_use(fork->source->place),
                .to = place_use(fork->target->place),
                .bytes_max = fork_bytes_max(fork->source),
                .entries_max = fork->pool->config.session_files_max,
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

bool fork_is_unnamed(const Fork *fork) {
        return fork->copy.control_fd >= 0;
}

void fork_close_copy(Fork *fork) {
        if (!fork_is_unnamed(fork))
                return;
        fork->pool->sessions.n_copies_unnamed--;
        copy_close(&fork->copy, &fork->host->listener);
}

int fork_order_into(Fork *fork, Slot *guest) {
        Pool *pool = fork->pool;
        Slot *slot = fork->source_slot;
        const Place *place = guest->place;
        char directory[160] = "";
        CopyOrder order = {
                .source = slot->worker.pid,
                .source_control_fd = slot->worker.control_fd,
                .listener = &fork->host->listener,
                .member = place->member.number,
                .folder = place_folder(place),
                .directory = directory,
        };
        int r;

        if (!slot->template->has_cell_folders)
                home_path(&pool->sessions.homes, &place->shared->home, directory,
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

int fork_order_copy(Fork *fork) {
        Slot *guest = NULL;

        /* Until the copy has said who it is, a sweep would take it for a stray. */
        if (!fork->pool->sweep_wanted)
                guest = session_take_guest(fork->target, fork->host);
        if (guest) {
                fork->waits = false;
                return fork_order_into(fork, guest);
        }
        /* From the first time on. */
        if (!fork->waits)
                timer_set(&fork->pool->timers, &fork->source_slot->timer, clock_now_ns() + WAIT_NS);
        fork->waits = true;
        fork->is_late = false;
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

/* Under way, of its worker or to it. */
static Fork *fork_of(const Slot *slot) {
        if (slot->trial)
                return slot->template->canary.fork;
        return slot->session ? slot->session->fork : NULL;
}

static Fork *fork_of_source(const Slot *slot) {
        Fork *fork = fork_of(slot);

        return fork && fork->source_slot == slot ? fork : NULL;
}

static Fork *fork_of_target(const Slot *slot) {
        Fork *fork = fork_of(slot);

        return fork && fork->source_slot != slot && fork->target == slot->session ? fork : NULL;
}

/* On the socket of a copy that has no process yet. */
static void hear_copy(Slot *slot) {
        Fork *fork = fork_of_target(slot);
        pid_t pid = 0;
        int r;

        if (!fork || !fork_is_unnamed(fork))
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
        if (take_process(fork, slot, pid) < 0) {
                /* It cannot be supervised, so nobody would hear of its end; the sweep waits for it.
                 */
                worker_kill(&slot->worker);
                fork->pool->sweep_wanted = true;
                slot_move(slot, SLOT_EV_EXIT);
        }
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

/* It says what it has to in answer to what it has been asked, and once. Whatever else comes is its
 * code's. */
static bool hear_worker(Slot *slot, ControlNews *news) {
        Fork *fork = fork_of_source(slot);
        bool is_introduced = slot->worker.control_is_introduced || slot->host;

        if (news->kind == CONTROL_LISTENER && news->sender == slot->worker.pid && !is_introduced) {
                slot->worker.control_is_introduced = true;
                take_listener(slot, news->fd);
                return true;
        }
        close_fd(&news->fd);
        if (news->kind != CONTROL_FORKED || !fork || !fork->is_ordered)
                return false;
        fork->is_ordered = false;
        fork->source_error = news->error;
        return true;
}

void session_on_control(Slot *slot) {
        ControlNews news;
        int r;

        if (slot->state == SLOT_EMPTY) {
                hear_copy(slot);
                return;
        }
        if (slot->worker.control_fd < 0)
                return;
        /* One in a turn: the other end may write for ever. */
        r = control_receive(slot->worker.control_fd, &news);
        if (r > 0 && !hear_worker(slot, &news))
                r = -EBADMSG;
        if (r < 0) {
                pool_unwatch(slot->template->pool, slot->worker.control_fd);
                close_fd(&slot->worker.control_fd);
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
        Fork *fork = fork_of_source(slot);

        if (fork)
                fork->is_late = true;
        else
                slot_move(slot, SLOT_EV_DEADLINE);
}
