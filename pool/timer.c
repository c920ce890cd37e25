#include "pool/timer.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>

#include "kit/clock.h"
#include "kit/error.h"

int timer_heap_init(TimerHeap *heap, uint32_t capacity) {
        *heap = (TimerHeap){.fd = -1, .armed_ns = UINT64_MAX, .capacity = capacity};
        heap->timers = calloc(capacity, sizeof(Timer *));
        if (!heap->timers)
                return raise_error(-ENOMEM, "allocate %u timers", capacity);
        heap->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (heap->fd < 0)
                return raise_errno("create a timerfd");
        return 0;
}

void timer_heap_done(TimerHeap *heap) {
        free(heap->timers);
        heap->timers = NULL;
        close_fd(&heap->fd);
}

static void place(TimerHeap *heap, Timer *timer, uint32_t position) {
        heap->timers[position] = timer;
        timer->position = position;
}

static void sift_up(TimerHeap *heap, Timer *timer, uint32_t position) {
        while (position > 0) {
                uint32_t parent = (position - 1) / 2;

                if (heap->timers[parent]->deadline_ns <= timer->deadline_ns)
                        break;
                place(heap, heap->timers[parent], position);
                position = parent;
        }
        place(heap, timer, position);
}

static void sift_down(TimerHeap *heap, Timer *timer, uint32_t position) {
        for (;;) {
                uint32_t child = position * 2 + 1;

                if (child >= heap->n_timers)
                        break;
                if (child + 1 < heap->n_timers &&
                    heap->timers[child + 1]->deadline_ns < heap->timers[child]->deadline_ns)
                        child++;
                if (timer->deadline_ns <= heap->timers[child]->deadline_ns)
                        break;
                place(heap, heap->timers[child], position);
                position = child;
        }
        place(heap, timer, position);
}

void timer_set(TimerHeap *heap, Timer *timer, uint64_t deadline_ns) {
        uint32_t position = timer->position;

        timer->deadline_ns = deadline_ns;
        if (position == TIMER_OFF) {
                assert(heap->n_timers < heap->capacity);
                position = heap->n_timers++;
        }
        sift_up(heap, timer, position);
        sift_down(heap, timer, timer->position);
}

void timer_clear(TimerHeap *heap, Timer *timer) {
        uint32_t position = timer->position;
        Timer *last;

        if (position == TIMER_OFF)
                return;
        timer->position = TIMER_OFF;
        last = heap->timers[--heap->n_timers];
        if (last == timer)
                return;
        sift_up(heap, last, position);
        sift_down(heap, last, last->position);
}

Timer *timer_due(TimerHeap *heap, uint64_t now_ns) {
        Timer *first;

        if (heap->n_timers == 0 || heap->timers[0]->deadline_ns > now_ns)
                return NULL;
        first = heap->timers[0];
        timer_clear(heap, first);
        return first;
}

int timer_heap_arm(TimerHeap *heap) {
        struct itimerspec when = {0};
        uint64_t deadline_ns;

        if (heap->n_timers == 0)
                return 0;
        deadline_ns = heap->timers[0]->deadline_ns;
        if (heap->armed_ns <= deadline_ns)
                return 0;

        /* A zero time would disarm it. */
        when.it_value.tv_sec = (time_t) (deadline_ns / NS_PER_S);
        when.it_value.tv_nsec = (long) (deadline_ns % NS_PER_S) | 1;
        if (timerfd_settime(heap->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
                return raise_errno("arm the timerfd");
        heap->armed_ns = deadline_ns;
        return 0;
}

void timer_heap_acknowledge(TimerHeap *heap) {
        uint64_t expirations;

        /* Whether it had expired or not: it stands nowhere now. */
        if (read(heap->fd, &expirations, sizeof(expirations)) == sizeof(expirations))
                heap->armed_ns = UINT64_MAX;
}
