/* session_reserve: what is left of the file system that files of sessions lie on. Below the reserve
 * nothing is made or stored there any more; and whoever goes on writing loses its process, with
 * what that holds without a name (pool/held.h), whether or not anybody may look at that. */

#include <sys/statvfs.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* While there are sessions; and while the disk fills. */
#define CALM_LOOK_NS    (1 * NS_PER_S)
#define ALARMED_LOOK_NS (100 * NS_PER_MS)
#define ALARM_NS        (1 * NS_PER_S)
/* What is lost so between two looks may be somebody's work; less is anybody's log. */
#define FALL_BYTES (4ULL << 20)
/* Of one workspace, since the disk has been short. */
#define GROWTH_BYTES (1ULL << 20)
/* A process that has written so many bytes has used processor time for them: no machine's memory
 * takes 20 GB/s from one thread through the page cache. */
#define BYTES_PER_CPU_NS 20

static uint64_t reserve_of(uint64_t wanted, uint64_t size) {
        return wanted < size / 4 ? wanted : size / 4;
}

static void look(Sessions *sessions) {
        Reserve *reserve = &sessions->reserve;
        struct statvfs room;

        /* What cannot be asked is no reason to refuse anything. */
        if (fstatvfs(sessions->homes.root_fd, &room) < 0) {
                reserve->free_bytes = UINT64_MAX;
                return;
        }
        reserve->free_bytes = (uint64_t) room.f_bavail * room.f_frsize;
        reserve->bytes =
                reserve_of(reserve->wanted_bytes, (uint64_t) room.f_blocks * room.f_frsize);
}

bool pool_disk_is_short(Pool *pool, uint64_t more_bytes) {
        Reserve *reserve = &pool->sessions.reserve;

        if (!pool->sessions.is_open || reserve->wanted_bytes == 0)
                return false;
        look(&pool->sessions);
        return reserve->free_bytes < reserve->bytes ||
               reserve->free_bytes - reserve->bytes < more_bytes;
}

void session_reserve_start(Pool *pool) {
        Reserve *reserve = &pool->sessions.reserve;

        if (reserve->wanted_bytes > 0 && reserve->timer.position == TIMER_OFF) {
                reserve->last_free_bytes = 0;
                timer_set(&pool->timers, &reserve->timer, clock_now_ns() + CALM_LOOK_NS);
        }
}

/* --- who goes on writing --- */

static bool can_be_ended(const Session *session) {
        const Slot *slot = session->slot;

        return slot && (slot->state == SLOT_BUSY || slot->state == SLOT_HELD) && !slot->answers &&
               slot->cause == CAUSE_NONE;
}

static void end(Session *session) {
        Slot *slot = session->slot;

        log_warning("the disk of the state directory is short, and session %u goes on writing: its "
                    "process is ended",
                    session->index);
        if (slot->state == SLOT_BUSY) {
                slot_end_run(slot, CAUSE_RESERVE);
        } else {
                session_lose(session, SESSION_LOSS_OF_RESERVE);
                slot_move(slot, SLOT_EV_DEADLINE);
        }
}

/* What it used of its processor since the last look. */
static uint64_t take_cpu_ns(Session *session) {
        uint64_t now_ns = session_cpu_ns(session), before_ns = session->reserve_cpu_ns;

        session->reserve_cpu_ns = now_ns;
        return now_ns > before_ns ? now_ns - before_ns : 0;
}

static bool has_grown(Session *session) {
        uint64_t bytes = session_disk_bytes(session);

        /* What an earlier server has left in it was not written now. */
        if (!session->is_measured)
                return false;
        if (bytes < session->reserve_disk_bytes)
                session->reserve_disk_bytes = bytes;
        return bytes - session->reserve_disk_bytes > GROWTH_BYTES;
}

static void remember(Pool *pool) {
        for (Session *session = pool->sessions.first; session; session = session->next) {
                session->reserve_disk_bytes = session_disk_bytes(session);
                (void) take_cpu_ns(session);
        }
}

static Session *find_grown(Pool *pool) {
        for (Session *session = pool->sessions.first; session; session = session->next) {
                if (can_be_ended(session) && has_grown(session))
                        return session;
        }
        return NULL;
}

/* Of those whose files cannot all be seen, the one that has been the busiest while the disk filled,
 * if it can have done it. */
static Session *find_busiest(Pool *pool, uint64_t fallen_bytes) {
        uint64_t most_ns = fallen_bytes / BYTES_PER_CPU_NS;
        Session *busiest = NULL;

        for (Session *session = pool->sessions.first; session; session = session->next) {
                uint64_t cpu_ns = take_cpu_ns(session);

                if (!can_be_ended(session) || !session->has_unseen_files || cpu_ns < most_ns)
                        continue;
                busiest = session;
                most_ns = cpu_ns;
        }
        return fallen_bytes >= FALL_BYTES ? busiest : NULL;
}

/* One of those whose share is not known, and then it is seen whether that was it. */
static void end_writers(Pool *pool, uint64_t fallen_bytes) {
        Session *busiest = find_busiest(pool, fallen_bytes), *grown = find_grown(pool);

        if (!grown && busiest)
                end(busiest);
        /* Whoever hears of the end of a run may end other sessions. */
        for (; grown; grown = find_grown(pool))
                end(grown);
}

/* Between runs a session is looked at after some seconds; one that works while the disk fills, at
 * once. */
static void look_at_workers(Pool *pool, uint64_t now_ns) {
        for (Session *session = pool->sessions.first; session; session = session->next) {
                Slot *slot = session->slot;

                if (slot && slot->state == SLOT_HELD && session_works(slot))
                        timer_set(&pool->timers, &slot->timer, now_ns);
        }
}

/* --- the looks --- */

static void tell(Reserve *reserve, bool is_short) {
        unsigned long long free_mb = reserve->free_bytes >> 20, reserve_mb = reserve->bytes >> 20;

        if (is_short)
                log_warning("the disk of the state directory is short: nothing is made or stored "
                            "there free_mb=%llu reserve_mb=%llu",
                            free_mb, reserve_mb);
        else
                log_info("the disk of the state directory has room again free_mb=%llu "
                         "reserve_mb=%llu",
                         free_mb, reserve_mb);
        reserve->is_short = is_short;
}

void session_reserve_on_timer(Pool *pool, uint64_t now_ns) {
        Reserve *reserve = &pool->sessions.reserve;
        uint64_t before = reserve->last_free_bytes, fallen;
        bool is_short = pool_disk_is_short(pool, 0);

        reserve->last_free_bytes = reserve->free_bytes;
        fallen = before > reserve->free_bytes ? before - reserve->free_bytes : 0;
        if (fallen >= FALL_BYTES)
                reserve->alarm_end_ns = now_ns + ALARM_NS;
        if (is_short != reserve->is_short) {
                tell(reserve, is_short);
                remember(pool);
        } else if (is_short) {
                end_writers(pool, fallen);
        }
        if (now_ns < reserve->alarm_end_ns)
                look_at_workers(pool, now_ns);
        if (pool->sessions.n > 0)
                timer_set(&pool->timers, &reserve->timer,
                          now_ns + (is_short || now_ns < reserve->alarm_end_ns ? ALARMED_LOOK_NS
                                                                               : CALM_LOOK_NS));
}
