/* run_watch: looking after one run while it runs: its request goes in, its limits hold. */

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"
#include "wire/frame.h"

/* The size that Linux gives a pipe. */
#define PIPE_BYTES 65536

/* Most runs end sooner than this. Until then their pipes (64 KiB each) hold what they print, and
 * nobody wakes up for it. */
#define FIRST_LOOK_NS (1 * NS_PER_MS)

/* Between two looks at a run's memory and clock; less when memory may run out before. */
#define LOOK_NS     (50 * NS_PER_MS)
#define LOOK_MIN_NS (2 * NS_PER_MS)

/* A process can dirty about so many bytes in a nanosecond: two gibibytes a second. */
#define GROWTH_BYTES_PER_NS 2

/* Files are counted less often: it means reading folders. */
#define DISK_LOOK_NS (200 * NS_PER_MS)

/* Another worker takes the run. */
static void give_back(Slot *slot) {
        Run *run = slot->run;

        slot->run = NULL;
        run->slot = NULL;
        if (run->session)
                session_queue_push_front(run);
        else
                queue_push_front(run);
        slot_move(slot, SLOT_EV_CANCEL);
}

bool slot_take_back_unread(Slot *slot) {
        const Run *run = slot->run;
        int unread;

        /* Nobody wants it any more. */
        if (run->is_in_session && (!run->session || run->is_abandoned))
                return false;
        /* The pipe keeps what was written as long as one end is open. The copy may be gone already:
         * then more was read than a pipe can hold. */
        if (slot->message_sent > slot->run->message.size ||
            ioctl(slot->worker.request_fd, FIONREAD, &unread) < 0 ||
            (size_t) unread != slot->message_sent)
                return false;
        give_back(slot);
        return true;
}

static void send_message(Slot *slot) {
        Run *run = slot->run;

        while (slot->message_sent < run->message.size) {
                ssize_t n = write(slot->worker.request_fd, run->message.data + slot->message_sent,
                                  run->message.size - slot->message_sent);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        break;
                slot->message_sent += (size_t) n;
        }

        if (slot->message_sent == 0) {
                /* It died while it was idle, and nobody has noticed yet. */
                give_back(slot);
        } else if (slot->message_sent == run->message.size) {
                if (slot->request_watched)
                        pool_unwatch(run->pool, slot->worker.request_fd);
                slot->request_watched = false;
                /* What a pipe can hold may have to be sent again, to another worker; a larger copy
                 * is given back. */
                if (run->message.size > PIPE_BYTES)
                        buffer_done(&run->message);
        } else if (errno == EAGAIN && !slot->request_watched) {
                slot->request_watched = pool_watch(run->pool, slot->worker.request_fd,
                                                   SOURCE_REQUEST, slot->number, 0) == 0;
                /* Nobody may be answered here, as pool_submit() may be the caller: the timer does.
                 */
                if (!slot->request_watched)
                        slot->cause = CAUSE_INTERNAL;
        } else if (errno != EAGAIN && slot->request_watched) {
                /* EPIPE: the worker has died over it, which its pidfd will tell, or has closed its
                 * end, and then a watched descriptor would be ready for ever. */
                pool_unwatch(run->pool, slot->worker.request_fd);
                slot->request_watched = false;
        }
}

void slot_on_request_writable(Slot *slot) {
        if (slot->state == SLOT_BUSY)
                send_message(slot);
}

static void watch_streams(Slot *slot) {
        Pool *pool = slot->template->pool;

        if (slot->streams_watched)
                return;
        slot->streams_watched = true;
        for (int i = 0; i < _RUN_STREAMS; i++) {
                if (slot->worker.stream_fds[i] >= 0 &&
                    pool_watch(pool, slot->worker.stream_fds[i], SOURCE_STDOUT + (unsigned) i,
                               slot->number, 0) < 0)
                        log_warning("cannot watch a stream of slot %u", slot->number);
        }
}

void slot_send_run(Slot *slot) {
        Run *run = slot->run;
        Pool *pool = run->pool;
        uint64_t now_ns = clock_now_ns();

        run->slot = slot;
        slot->cause = CAUSE_NONE;
        slot->exited = false;
        slot->message_sent = 0;
        slot->started_ns = now_ns;
        slot->queue_ns = now_ns - run->submitted_ns;
        slot->wall_deadline_ns = now_ns + run->limits.of[LIMIT_WALL_MS] * NS_PER_MS;
        slot->usage = (RunUsage){0};
        /* Nobody may be answered here; the first look does it. */
        if (slot_limit_cgroup(slot) < 0)
                slot->cause = CAUSE_INTERNAL;
        for (int i = 0; i < _RUN_STREAMS; i++)
                output_start(&slot->output[i], run->limits.of[LIMIT_OUTPUT_BYTES]);
        meter_start(&slot->worker.meter);
        pool->last_activity_ns = now_ns;

        timer_set(&pool->timers, &slot->timer, now_ns + FIRST_LOOK_NS);
        send_message(slot);
        if (slot->state == SLOT_BUSY && run->callbacks.output)
                watch_streams(slot);
}

void slot_send_touch(Slot *slot) {
        FrameHeader header = frame_header(REQUEST_TOUCH, 0);

        /* The pipe is empty, so a header fits. If the worker has died, its pidfd will tell. */
        if (write(slot->worker.request_fd, &header, sizeof(header)) != sizeof(header))
                log_debug("slot %u cannot be touched", slot->number);
}

/* Asks for the bytes in its folders on disk, and looks at the answer to the last question. */
static bool overruns_folders(Slot *slot, uint64_t now_ns) {
        Pool *pool = slot->template->pool;
        uint64_t answer = __atomic_load_n(&slot->disk_answer, __ATOMIC_ACQUIRE);
        bool concerns_this_run = slot->disk_asked_run == slot->started_ns;

        if (slot->disk_asked_ns != 0 && answer == 0)
                return false;
        if (slot->disk_asked_ns == 0 || now_ns - slot->disk_asked_ns >= DISK_LOOK_NS) {
                if (now_ns - slot->started_ns >= DISK_LOOK_NS) {
                        slot->disk_asked_ns = now_ns;
                        slot->disk_asked_run = slot->started_ns;
                        __atomic_store_n(&slot->disk_answer, 0, __ATOMIC_RELEASE);
                        janitor_measure_run(pool->workspace.janitor, slot->folders.directory_fd,
                                            &(HeldBy){slot->worker.pid, slot->worker.pidfd},
                                            slot->uid, &slot->disk_answer);
                }
        }
        return concerns_this_run && answer > 0 &&
               answer - 1 > slot->run->limits.of[LIMIT_DISK_MB] << 20;
}

/* A cell's file system knows what it holds. */
static bool overruns_disk(Slot *slot, uint64_t now_ns) {
        uint64_t bytes, inodes;

        if (!slot->template->has_cell_folders)
                return overruns_folders(slot, now_ns);
        return cell_measure(&slot->cell, &bytes, &inodes) == 0 &&
               bytes > slot->cell.clean_bytes + (slot->run->limits.of[LIMIT_DISK_MB] << 20);
}

void slot_check_limits(Slot *slot, uint64_t now_ns) {
        Pool *pool = slot->template->pool;
        const RunLimits *limits = &slot->run->limits;
        uint64_t cpu_limit_ns = limits->of[LIMIT_CPU_MS] * NS_PER_MS;
        uint64_t memory_limit = limits->of[LIMIT_MEMORY_MB] << 20;
        uint64_t cpu_ns = meter_cpu_ns(&slot->worker.meter);
        uint64_t growth =
                meter_growth_bytes(&slot->worker.meter, meter_memory(&slot->worker.meter));
        uint64_t next_ns = LOOK_NS;

        if (slot->cause != CAUSE_NONE) {
                slot_end_run(slot, slot->cause);
                return;
        }
        if (slot->session) {
                VerdictCause cause = session_check_limits(slot, now_ns);

                if (cause != CAUSE_NONE) {
                        slot_end_run(slot, cause);
                        return;
                }
        }
        /* One that is interrupted first has a little longer. */
        if (now_ns >= slot->wall_deadline_ns &&
            !(slot->run->interrupt_first && slot->interrupt_ns != 0)) {
                slot_end_run(slot, CAUSE_WALL);
                return;
        }
        if (cpu_ns > cpu_limit_ns) {
                slot_end_run(slot, CAUSE_CPU);
                return;
        }
        if (growth > memory_limit || slot_is_out_of_memory(slot)) {
                slot_end_run(slot, CAUSE_MEMORY);
                return;
        }
        if (!slot->of_sessions && overruns_disk(slot, now_ns)) {
                slot_end_run(slot, CAUSE_DISK);
                return;
        }
        watch_streams(slot);

        /* The next look comes when the first limit can be reached at the earliest, but not too
         * often. */
        if ((memory_limit - growth) / GROWTH_BYTES_PER_NS < next_ns)
                next_ns = (memory_limit - growth) / GROWTH_BYTES_PER_NS;
        if ((cpu_limit_ns - cpu_ns) / pool->n_cores < next_ns)
                next_ns = (cpu_limit_ns - cpu_ns) / pool->n_cores;
        if (next_ns < LOOK_MIN_NS)
                next_ns = LOOK_MIN_NS;
        if (slot->wall_deadline_ns > now_ns && slot->wall_deadline_ns - now_ns < next_ns)
                next_ns = slot->wall_deadline_ns - now_ns;
        next_ns = session_next_look_ns(slot, now_ns, next_ns);
        timer_set(&pool->timers, &slot->timer, now_ns + next_ns);
        session_press_interrupt(slot, now_ns);
}

void slot_take_usage(Slot *slot) {
        slot->usage.wall_ns = clock_now_ns() - slot->started_ns;
        slot->usage.queue_ns = slot->queue_ns;
        if (!slot->exited) {
                slot->usage.cpu_ns = meter_cpu_ns(&slot->worker.meter);
                slot->usage.peak_memory_kb = meter_memory(&slot->worker.meter).peak_kb;
        }
}
