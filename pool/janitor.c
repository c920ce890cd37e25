#include "pool/janitor.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/measure.h"
#include "pool/template.h"

/* Descriptors that may wait; one more is closed by who brings it. */
#define CLOSING_MAX (4 * SLOTS_MAX)

#define MEASUREMENTS_MAX 8192
_Static_assert(SLOTS_MAX + SESSIONS_MAX <= MEASUREMENTS_MAX, "one for each");

typedef enum MeasuredThing { OF_SLOT, OF_FOLDER, OF_MEMBER } MeasuredThing;

typedef struct Measurement {
        int directory_fd;
        MeasuredThing thing;
        uint64_t *result;
        MemberQuestion question; /* OF_MEMBER; the descriptors are ours */
        MemberAnswer *answer;
} Measurement;

struct Janitor {
        pthread_t thread;
        bool thread_runs;
        pthread_mutex_t mutex;
        pthread_cond_t condition;
        bool trash_waits, ends;
        uint64_t end_ns; /* set with ends: what is still in the trash by then stays */
        Measurement measurements[MEASUREMENTS_MAX];
        size_t first_measurement, n_measurements; /* in a ring */
        int closing[CLOSING_MAX];
        size_t n_closing;
        int trash_fd;
        uint64_t slice_end_ns; /* the thread's own */
        uint64_t sequence; /* of names for folders that move up into the trash; the thread's own */
};

/* A trash of a million files must not keep questions waiting, by whose answers limits are held; nor
 * may questions keep the trash from ever becoming less. */
#define SLICE_NS (2 * NS_PER_MS)

static bool is_too_late(const Janitor *janitor) {
        uint64_t end_ns = __atomic_load_n(&janitor->end_ns, __ATOMIC_RELAXED);

        return end_ns != UINT64_MAX && clock_now_ns() >= end_ns;
}

static bool must_pause(Janitor *janitor) {
        bool others_wait;

        if (is_too_late(janitor))
                return true;
        if (clock_now_ns() < janitor->slice_end_ns)
                return false;
        (void) pthread_mutex_lock(&janitor->mutex);
        others_wait = janitor->n_measurements > 0 || janitor->n_closing > 0;
        (void) pthread_mutex_unlock(&janitor->mutex);
        if (!others_wait)
                janitor->slice_end_ns = clock_now_ns() + SLICE_NS;
        return others_wait;
}

/* Removes one entry of the trash. A folder inside a folder is moved up into the trash and removed
 * later, so that no depth needs a stack, a descriptor each, or a long path. Returns whether
 * anything was removed or moved. */
static bool remove_entry(Janitor *janitor, const char *name) {
        DIR *directory;
        struct dirent *entry;
        bool progress = false;

        if (unlinkat(janitor->trash_fd, name, 0) == 0)
                return true;
        directory = measure_open(janitor->trash_fd, name);
        if (!directory)
                return false;
        /* Readable is not enough: removing what stands in it takes all its owner's rights. */
        (void) fchmod(dirfd(directory), 0700);
        while (!must_pause(janitor) && (entry = readdir(directory))) {
                char moved[64];

                if (measure_is_dot(entry->d_name))
                        continue;
                if (unlinkat(dirfd(directory), entry->d_name, 0) == 0 ||
                    unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR) == 0) {
                        progress = true;
                        continue;
                }
                /* Moving a folder changes its "..", which needs the right to write to it. A link
                 * that cannot be removed, or that has just taken the folder's place, must not lead
                 * us to a file outside. */
                if (fchmodat(dirfd(directory), entry->d_name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
                        log_debug("the rights of a run's folder stay: %s", strerror(errno));
                (void) snprintf(moved, sizeof(moved), "deep-%ju", (uintmax_t) janitor->sequence++);
                if (renameat(dirfd(directory), entry->d_name, janitor->trash_fd, moved) < 0)
                        log_warning("cannot remove a file of a run: %s", strerror(errno));
                else
                        progress = true;
        }
        (void) closedir(directory);
        return unlinkat(janitor->trash_fd, name, AT_REMOVEDIR) == 0 || progress;
}

/* One pass over the trash, or what there is time for; returns whether there may be more to do. */
static bool empty_trash_once(Janitor *janitor) {
        DIR *directory = measure_open(janitor->trash_fd, ".");
        struct dirent *entry;
        bool progress = false, is_paused;

        if (!directory)
                return false;
        janitor->slice_end_ns = clock_now_ns() + SLICE_NS;
        while (!(is_paused = must_pause(janitor)) && (entry = readdir(directory))) {
                if (!measure_is_dot(entry->d_name) && remove_entry(janitor, entry->d_name))
                        progress = true;
        }
        (void) closedir(directory);
        return progress || is_paused;
}

static void measure(const Measurement *measurement) {
        const MemberQuestion *question = &measurement->question;
        int fd = measurement->directory_fd;
        uint64_t bytes = 0;
        unsigned entries = 0;

        switch (measurement->thing) {
        case OF_SLOT:
                (void) held_measure(question->by, 1, fd, question->uid, &bytes);
                measure_directory(fd, "work", 0, &entries, &bytes);
                measure_directory(fd, "tmp", 0, &entries, &bytes);
                break;
        case OF_FOLDER:
                measure_directory(fd, ".", 0, &entries, &bytes);
                break;
        case OF_MEMBER:
                /* Before the names: what loses its last one between the two looks is missed by
                 * both, this time, instead of counting twice. */
                measurement->answer->is_whole = held_measure(question->by, N_ELEMENTS(question->by),
                                                             fd, question->uid, &bytes);
                measure_member(fd, question->member, &entries, &bytes);
                /* Copies have theirs beside their workspaces. */
                if (question->member == 0)
                        measure_directory(fd, "tmp", 0, &entries, &bytes);
                measurement->answer->entries = entries;
                break;
        }
        if (entries >= MEASURE_ENTRIES_MAX)
                bytes = UINT64_MAX - 1;
        atomic_store((_Atomic uint64_t *) measurement->result, bytes + 1);
}

static void close_measurement(Measurement *measurement) {
        close_fd(&measurement->directory_fd);
        for (size_t i = 0; i < N_ELEMENTS(measurement->question.by); i++)
                close_fd(&measurement->question.by[i].pidfd);
}

static Measurement take_measurement(Janitor *janitor) {
        Measurement first = janitor->measurements[janitor->first_measurement];

        janitor->first_measurement = (janitor->first_measurement + 1) % MEASUREMENTS_MAX;
        janitor->n_measurements--;
        return first;
}

static void *janitor_main(void *argument) {
        Janitor *janitor = argument;
        bool is_trash_turn = false;

        (void) pthread_mutex_lock(&janitor->mutex);
        for (;;) {
                if (janitor->n_measurements > 0 && !(is_trash_turn && janitor->trash_waits)) {
                        Measurement next = take_measurement(janitor);

                        is_trash_turn = true;
                        (void) pthread_mutex_unlock(&janitor->mutex);
                        measure(&next);
                        close_measurement(&next);
                } else if (janitor->n_closing > 0) {
                        int fd = janitor->closing[--janitor->n_closing];

                        (void) pthread_mutex_unlock(&janitor->mutex);
                        (void) close(fd);
                } else if (janitor->trash_waits) {
                        bool progress;

                        janitor->trash_waits = is_trash_turn = false;
                        (void) pthread_mutex_unlock(&janitor->mutex);
                        progress = empty_trash_once(janitor);
                        (void) pthread_mutex_lock(&janitor->mutex);
                        /* Each pass takes one level of depth away. What cannot be removed at all
                         * stays, and must not keep us here. */
                        janitor->trash_waits =
                                (janitor->trash_waits || progress) && !is_too_late(janitor);
                        continue;
                } else if (janitor->ends) {
                        break;
                } else {
                        (void) pthread_cond_wait(&janitor->condition, &janitor->mutex);
                        continue;
                }
                (void) pthread_mutex_lock(&janitor->mutex);
        }
        (void) pthread_mutex_unlock(&janitor->mutex);
        return NULL;
}

int janitor_new(int trash_fd, Janitor **ret_janitor) {
        _cleanup_(janitor_freep) Janitor *janitor = NULL;
        sigset_t all, before;
        int r;

        janitor = calloc(1, sizeof(*janitor));
        if (!janitor)
                return raise_error(-ENOMEM, "allocate the janitor");
        janitor->trash_fd = trash_fd;
        janitor->end_ns = UINT64_MAX;
        (void) pthread_mutex_init(&janitor->mutex, NULL);
        (void) pthread_cond_init(&janitor->condition, NULL);

        /* Signals are for the main thread. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&janitor->thread, NULL, janitor_main, janitor);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return raise_error(-r, "start the janitor's thread");
        janitor->thread_runs = true;
        *ret_janitor = take_ptr(janitor);
        return 0;
}

Janitor *janitor_free(Janitor *janitor) {
        return janitor_free_by(janitor, UINT64_MAX);
}

Janitor *janitor_free_by(Janitor *janitor, uint64_t end_ns) {
        if (!janitor)
                return NULL;
        if (janitor->thread_runs) {
                (void) pthread_mutex_lock(&janitor->mutex);
                janitor->trash_waits = true;
                janitor->ends = true;
                __atomic_store_n(&janitor->end_ns, end_ns, __ATOMIC_RELAXED);
                (void) pthread_cond_signal(&janitor->condition);
                (void) pthread_mutex_unlock(&janitor->mutex);
                (void) pthread_join(janitor->thread, NULL);
        }
        (void) pthread_cond_destroy(&janitor->condition);
        (void) pthread_mutex_destroy(&janitor->mutex);
        free(janitor);
        return NULL;
}

void janitor_close(Janitor *janitor, int fd) {
        bool takes;

        (void) pthread_mutex_lock(&janitor->mutex);
        takes = janitor->n_closing < CLOSING_MAX;
        if (takes)
                janitor->closing[janitor->n_closing++] = fd;
        (void) pthread_cond_signal(&janitor->condition);
        (void) pthread_mutex_unlock(&janitor->mutex);
        if (!takes)
                (void) close(fd);
}

void janitor_wake(Janitor *janitor) {
        (void) pthread_mutex_lock(&janitor->mutex);
        janitor->trash_waits = true;
        (void) pthread_cond_signal(&janitor->condition);
        (void) pthread_mutex_unlock(&janitor->mutex);
}

/* The thread has descriptors of its own: the slot may be freed meanwhile. */
static void ask(Janitor *janitor, Measurement measurement) {
        measurement.directory_fd = fcntl(measurement.directory_fd, F_DUPFD_CLOEXEC, 3);
        if (measurement.directory_fd < 0) {
                /* Out of descriptors. As good as empty for now: an answer lets the caller ask
                 * again. */
                close_measurement(&measurement);
                __atomic_store_n(measurement.result, 1, __ATOMIC_RELEASE);
                return;
        }
        (void) pthread_mutex_lock(&janitor->mutex);
        assert(janitor->n_measurements < MEASUREMENTS_MAX);
        /* From its beginning again when nothing waits: a ring that goes round touches all its pages
         * in time, half a mebibyte for questions that come one by one. */
        if (janitor->n_measurements == 0)
                janitor->first_measurement = 0;
        janitor->measurements[(janitor->first_measurement + janitor->n_measurements++) %
                              MEASUREMENTS_MAX] = measurement;
        (void) pthread_cond_signal(&janitor->condition);
        (void) pthread_mutex_unlock(&janitor->mutex);
}

/* Descriptions of their own: a duplicate would go on being reported by the pool's epoll when the
 * pool has closed its own descriptor. Without one, nothing of that process is counted now. */
static void open_pidfds(Measurement *measurement) {
        for (size_t i = 0; i < N_ELEMENTS(measurement->question.by); i++) {
                HeldBy *by = &measurement->question.by[i];

                by->pidfd = held_finds(by) ? (int) syscall(SYS_pidfd_open, by->pid, 0) : -1;
        }
}

void janitor_measure_run(Janitor *janitor, int directory_fd, const HeldBy *by, uid_t uid,
                         uint64_t *result) {
        Measurement measurement = {.directory_fd = directory_fd,
                                   .thing = OF_SLOT,
                                   .result = result,
                                   .question = {.uid = uid, .by = {*by, HELD_BY_NONE}}};

        open_pidfds(&measurement);
        ask(janitor, measurement);
}

void janitor_measure_folder(Janitor *janitor, int folder_fd, uint64_t *result) {
        ask(janitor, (Measurement){.directory_fd = folder_fd,
                                   .thing = OF_FOLDER,
                                   .result = result,
                                   .question.by = {HELD_BY_NONE, HELD_BY_NONE}});
}

void janitor_measure_member(Janitor *janitor, const MemberQuestion *question,
                            MemberAnswer *answer) {
        Measurement measurement = {.directory_fd = question->home_fd,
                                   .thing = OF_MEMBER,
                                   .result = &answer->bytes_and_1,
                                   .question = *question,
                                   .answer = answer};

        open_pidfds(&measurement);
        ask(janitor, measurement);
}
