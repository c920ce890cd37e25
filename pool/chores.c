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

struct Chores {
        pthread_t *threads;
        unsigned n_threads;
        unsigned queue_max;
        unsigned n_outstanding; /* added, and done() not called yet; the loop's own */
        int event_fd;
        pthread_mutex_t mutex; /* of all below */
        pthread_cond_t condition;
        ChoreList waiting, finished;
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

static void *thread_main(void *argument) {
        Chores *chores = argument;

        (void) pthread_mutex_lock(&chores->mutex);
        for (;;) {
                Chore *chore = take_first(&chores->waiting);

                if (!chore) {
                        if (chores->ends)
                                break;
                        (void) pthread_cond_wait(&chores->condition, &chores->mutex);
                        continue;
                }
                (void) pthread_mutex_unlock(&chores->mutex);
                chore->result = chore->work(chore);
                (void) pthread_mutex_lock(&chores->mutex);
                append(&chores->finished, chore);
                (void) eventfd_write(chores->event_fd, 1);
        }
        (void) pthread_mutex_unlock(&chores->mutex);
        return NULL;
}

static int start_threads(Chores *chores, unsigned n_threads) {
        sigset_t all, before;
        int r = 0;

        /* Signals are for the main thread. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        while (r == 0 && chores->n_threads < n_threads) {
                r = pthread_create(&chores->threads[chores->n_threads], NULL, thread_main, chores);
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
        (void) pthread_cond_init(&chores->condition, NULL);
        list_clear(&chores->waiting);
        list_clear(&chores->finished);
        chores->queue_max = queue_max;
        chores->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (chores->event_fd < 0)
                return raise_errno("make an eventfd for work on files");
        chores->threads = calloc(n_threads, sizeof(*chores->threads));
        if (!chores->threads)
                return raise_error(-ENOMEM, "allocate the chores");
        r = start_threads(chores, n_threads);
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
        (void) pthread_cond_broadcast(&chores->condition);
        (void) pthread_mutex_unlock(&chores->mutex);
        for (unsigned i = 0; i < chores->n_threads; i++)
                (void) pthread_join(chores->threads[i], NULL);
        chores_dispatch(chores);
        /* What done() has added when there was no thread any more. */
        while ((chore = take_first(&chores->waiting))) {
                chore->result = chore->work(chore);
                append(&chores->finished, chore);
                chores_dispatch(chores);
        }
        assert(chores->n_outstanding == 0);
        close_fd(&chores->event_fd);
        (void) pthread_cond_destroy(&chores->condition);
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
        (void) pthread_mutex_lock(&chores->mutex);
        append(&chores->waiting, chore);
        (void) pthread_cond_signal(&chores->condition);
        (void) pthread_mutex_unlock(&chores->mutex);
        return 0;
}
