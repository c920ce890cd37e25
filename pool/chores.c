#include "pool/chores.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kit/error.h"

typedef struct ChoreList {
        Chore *first, **end;
} ChoreList;

typedef struct Lane {
        ChoreList waiting;
        pthread_cond_t condition;
        unsigned n; /* waiting or under way, in the long lane */
} Lane;

enum { LANE_SHORT, LANE_LONG, _LANES };

struct Chores {
        pthread_t *threads; /* n_threads of each lane in turn */
        unsigned n_threads;
        unsigned queue_max;
        unsigned n_outstanding; /* added, and done() not called yet; the loop's own */
        int event_fd;
        pthread_mutex_t mutex; /* of all below */
        Lane lanes[_LANES];
        unsigned n_running; /* in the short lane: what they are may come to the long one */
        ChoreList finished;
        bool ends;
};

static void append(ChoreList *list, Chore *chore) {
        chore->next = NULL;
        *list->end = chore;
        list->end = &chore->next;
}

static Chore *take_first(ChoreList *list) {
        Chore *chore = list->first;

        if (!chore)
                return NULL;
        list->first = chore->next;
        if (!list->first)
                list->end = &list->first;
        return chore;
}

static void list_clear(ChoreList *list) {
        list->first = NULL;
        list->end = &list->first;
}

static void finish(Chores *chores, Chore *chore, int result) {
        chore->result = result;
        append(&chores->finished, chore);
        (void) eventfd_write(chores->event_fd, 1);
}

static void make_long(Chores *chores, Chore *chore) {
        Lane *lane = &chores->lanes[LANE_LONG];

        if (lane->n >= (chores->queue_max + 1) / 2) {
                finish(chores, chore, -EAGAIN);
                return;
        }
        lane->n++;
        chore->is_long = true;
        append(&lane->waiting, chore);
        (void) pthread_cond_signal(&lane->condition);
}

/* Whether nothing can come to this lane any more. */
static bool is_over(const Chores *chores, const Lane *lane) {
        return chores->ends &&
               (lane == &chores->lanes[LANE_SHORT] ||
                (!chores->lanes[LANE_SHORT].waiting.first && chores->n_running == 0));
}

static void work_in(Chores *chores, Lane *lane, Chore *chore) {
        bool is_long = chore->is_long;
        int result;

        chores->n_running += !is_long;
        (void) pthread_mutex_unlock(&chores->mutex);
        result = chore->work(chore);
        (void) pthread_mutex_lock(&chores->mutex);
        chores->n_running -= !is_long;
        lane->n -= is_long;
        if (!is_long && result == CHORE_IS_LONG)
                make_long(chores, chore);
        else
                finish(chores, chore, result);
        if (chores->ends)
                (void) pthread_cond_broadcast(&chores->lanes[LANE_LONG].condition);
}

static void run_lane(Chores *chores, Lane *lane) {
        (void) pthread_mutex_lock(&chores->mutex);
        for (;;) {
                Chore *chore = take_first(&lane->waiting);

                if (chore)
                        work_in(chores, lane, chore);
                else if (is_over(chores, lane))
                        break;
                else
                        (void) pthread_cond_wait(&lane->condition, &chores->mutex);
        }
        (void) pthread_mutex_unlock(&chores->mutex);
}

static void *short_main(void *argument) {
        Chores *chores = argument;

        run_lane(chores, &chores->lanes[LANE_SHORT]);
        return NULL;
}

static void *long_main(void *argument) {
        Chores *chores = argument;

        run_lane(chores, &chores->lanes[LANE_LONG]);
        return NULL;
}

static int start_threads(Chores *chores, unsigned n_threads) {
        sigset_t all, before;
        int r = 0;

        /* Signals are for the main thread. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        while (r == 0 && chores->n_threads < n_threads) {
                r = pthread_create(&chores->threads[chores->n_threads], NULL,
                                   chores->n_threads % 2 ? long_main : short_main, chores);
                chores->n_threads += r == 0;
        }
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r == 0 ? 0 : raise_error(-r, "start a thread for work on files");
}

int chores_new(unsigned n_threads, unsigned queue_max, Chores **ret_chores) {
        _cleanup_(chores_freep) Chores *chores = NULL;
        int r;

        assert(n_threads > 0 && queue_max > 0);
        chores = calloc(1, sizeof(*chores));
        if (!chores)
                return raise_error(-ENOMEM, "allocate the chores");
        (void) pthread_mutex_init(&chores->mutex, NULL);
        for (size_t i = 0; i < _LANES; i++) {
                (void) pthread_cond_init(&chores->lanes[i].condition, NULL);
                list_clear(&chores->lanes[i].waiting);
        }
        list_clear(&chores->finished);
        chores->queue_max = queue_max;
        chores->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (chores->event_fd < 0)
                return raise_errno("make an eventfd for work on files");
        chores->threads = calloc(_LANES * n_threads, sizeof(*chores->threads));
        if (!chores->threads)
                return raise_error(-ENOMEM, "allocate the chores");
        r = start_threads(chores, _LANES * n_threads);
        if (r < 0)
                return r;
        *ret_chores = take_ptr(chores);
        return 0;
}

Chores *chores_free(Chores *chores) {
        Chore *chore;

        if (!chores)
                return NULL;
        (void) pthread_mutex_lock(&chores->mutex);
        chores->ends = true;
        for (size_t i = 0; i < _LANES; i++)
                (void) pthread_cond_broadcast(&chores->lanes[i].condition);
        (void) pthread_mutex_unlock(&chores->mutex);
        for (unsigned i = 0; i < chores->n_threads; i++)
                (void) pthread_join(chores->threads[i], NULL);
        chores_dispatch(chores);
        /* What done() has added when there was no thread any more. */
        while ((chore = take_first(&chores->lanes[LANE_SHORT].waiting))) {
                chore->is_long = true;
                finish(chores, chore, chore->work(chore));
                chores_dispatch(chores);
        }
        assert(chores->n_outstanding == 0);
        close_fd(&chores->event_fd);
        for (size_t i = 0; i < _LANES; i++)
                (void) pthread_cond_destroy(&chores->lanes[i].condition);
        (void) pthread_mutex_destroy(&chores->mutex);
        free(chores->threads);
        free(chores);
        return NULL;
}

int chores_fd(const Chores *chores) {
        return chores->event_fd;
}

void chores_dispatch(Chores *chores) {
        eventfd_t count;
        Chore *chore;

        /* Before the list is taken: what is finished afterwards makes it readable again. */
        (void) eventfd_read(chores->event_fd, &count);
        (void) pthread_mutex_lock(&chores->mutex);
        chore = chores->finished.first;
        list_clear(&chores->finished);
        (void) pthread_mutex_unlock(&chores->mutex);
        while (chore) {
                Chore *next = chore->next; /* done() may free it, or add it again */

                chores->n_outstanding--;
                chore->done(chore, chore->result);
                chore = next;
        }
}

int chores_add(Chores *chores, Chore *chore) {
        if (chores->n_outstanding == chores->queue_max)
                return -EAGAIN;
        chores->n_outstanding++;
        chore->is_long = false;
        (void) pthread_mutex_lock(&chores->mutex);
        append(&chores->lanes[LANE_SHORT].waiting, chore);
        (void) pthread_cond_signal(&chores->lanes[LANE_SHORT].condition);
        (void) pthread_mutex_unlock(&chores->mutex);
        return 0;
}
