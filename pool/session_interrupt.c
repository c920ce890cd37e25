/*
 * session_interrupt: KeyboardInterrupt, and what follows when it does not help.
 *
 * A worker drops what has interrupted it before it reads a request, so that a SIGINT which was
 * meant for one run never hits the next. A run can be interrupted, then, from when its request has
 * been read: the pipe is empty.
 *
 * CPython looks for signals between bytecodes. One that comes after the last look before a call
 * that waits is not seen until the call returns, so it is sent again to a run that has used no
 * processor time since.
 */

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "pool/internal.h"

/* Between two looks whether the request has been read. */
#define PRESS_NS (1 * NS_PER_MS)

/* It is sent again after so long, and then after twice as long each time. */
#define AGAIN_NS (500 * NS_PER_MS)

/* Whoever has used less since does nothing but wait. */
#define WAITING_CPU_NS (2 * NS_PER_MS)

static bool has_read_its_request(const Slot *slot) {
        int unread;

        /* What was larger than a pipe has been given back once it was sent. */
        if (slot->run->message.data && slot->message_sent < slot->run->message.size)
                return false;
        return ioctl(slot->worker.request_fd, FIONREAD, &unread) == 0 && unread == 0;
}

void session_press_interrupt(Slot *slot, uint64_t now_ns) {
        Pool *pool = slot->template->pool;

        uint64_t cpu_ns;

        if (slot->interrupt_ns == 0 || (slot->interrupt_sent && now_ns < slot->interrupt_again_ns))
                return;
        if (!has_read_its_request(slot)) {
                timer_set(&pool->timers, &slot->timer, now_ns + PRESS_NS);
                return;
        }
        cpu_ns = meter_life_cpu_ns(&slot->worker.meter);
        slot->interrupt_wait_ns = slot->interrupt_sent ? slot->interrupt_wait_ns * 2 : AGAIN_NS;
        slot->interrupt_again_ns = now_ns + slot->interrupt_wait_ns;
        if (slot->interrupt_sent && cpu_ns - slot->interrupt_cpu_ns > WAITING_CPU_NS) {
                slot->interrupt_cpu_ns = cpu_ns;
                return;
        }
        slot->interrupt_cpu_ns = cpu_ns;
        slot->interrupt_sent = true;
        if (syscall(SYS_pidfd_send_signal, slot->worker.pidfd, SIGINT, NULL, 0) < 0)
                log_debug("slot %u cannot be interrupted", slot->number);
}

void session_interrupt_run(Slot *slot, uint64_t kill_after_ms) {
        Pool *pool = slot->template->pool;
        uint64_t now_ns = clock_now_ns(), kill_ns = now_ns + kill_after_ms * NS_PER_MS;

        if (slot->interrupt_ns == 0 || kill_ns < slot->interrupt_kill_ns)
                slot->interrupt_kill_ns = kill_ns;
        if (slot->interrupt_ns == 0)
                slot->interrupt_ns = now_ns;
        /* Who asks once more means it. */
        slot->interrupt_sent = false;
        session_press_interrupt(slot, now_ns);
        if (slot->timer.position == TIMER_OFF || slot->timer.deadline_ns > slot->interrupt_kill_ns)
                timer_set(&pool->timers, &slot->timer, slot->interrupt_kill_ns);
}

void session_end_interrupt(Slot *slot) {
        slot->interrupt_ns = slot->interrupt_kill_ns = 0;
        slot->interrupt_sent = false;
}

bool session_interrupt(Session *session, uint64_t kill_after_ms,
                       void (*done)(void *data, bool was_lost), void *data) {
        /* Its answer is on its way: there is nothing to interrupt. */
        if (session->state != SESSION_BUSY || !session->slot || session->slot->state != SLOT_BUSY)
                return false;
        /* Of two that ask, the first is told at once that the second one goes on. */
        session_tell_interrupted(session, false);
        if (session->state != SESSION_BUSY)
                return false;
        session->interrupted = done;
        session->interrupt_data = data;
        session_interrupt_run(session->slot, kill_after_ms);
        if (timer_heap_arm(&session->pool->timers) < 0)
                log_error("the pool's timers cannot be armed");
        return true;
}

void session_tell_interrupted(Session *session, bool was_lost) {
        void (*done)(void *data, bool was_lost) = session->interrupted;

        session->interrupted = NULL;
        if (done)
                done(session->interrupt_data, was_lost);
}
