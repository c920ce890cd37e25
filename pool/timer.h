#pragma once
/*
 * timer: deadlines of many things behind one timerfd. The timerfd is moved only when an earlier
 * deadline than the one it stands at is set: most runs end long before theirs, and then setting and
 * clearing costs no system call. An early expiry finds nothing due and is harmless.
 */

#include <stdint.h>

#include "kit/cleanup.h"

#define TIMER_OFF UINT32_MAX

typedef struct Timer {
        uint64_t deadline_ns;
        uint32_t position; /* in the heap; TIMER_OFF when it is not set */
        uint32_t what;     /* for its owner */
} Timer;

typedef struct TimerHeap {
        int fd;            /* readable when the first deadline may be due */
        uint64_t armed_ns; /* where the timerfd stands; UINT64_MAX: nowhere */
        Timer **timers;
        uint32_t n_timers, capacity;
} TimerHeap;

/* capacity: timers that will be set at once at most. */
_must_check_ int timer_heap_init(TimerHeap *heap, uint32_t capacity);
void timer_heap_done(TimerHeap *heap);

/* Sets or moves it. */
void timer_set(TimerHeap *heap, Timer *timer, uint64_t deadline_ns);
void timer_clear(TimerHeap *heap, Timer *timer);

/* Takes out and returns the earliest one that is due, or NULL. */
Timer *timer_due(TimerHeap *heap, uint64_t now_ns);

/* Call when all that was due has been handled: puts the timerfd at the earliest deadline. */
_must_check_ int timer_heap_arm(TimerHeap *heap);

/* Call when the descriptor was readable. */
void timer_heap_acknowledge(TimerHeap *heap);
