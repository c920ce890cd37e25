/* session_watch: the limits of a session: of its life, of its files, and of what goes on between
 * its runs. */

#include "kit/clock.h"
#include "kit/log.h"
#include "pool/internal.h"

/* Between two looks while nothing runs: the first, doubled while its CPU clock stands still, up to
 * the second. */
#define IDLE_LOOK_NS     (2 * NS_PER_S)
#define IDLE_LOOK_MAX_NS (30 * NS_PER_S)

/* The later looks come at full seconds, so that a thousand idle sessions wake the server once a
 * second, and it looks at some thirty of them then. */
#define IDLE_LOOK_GRID_NS (1 * NS_PER_S)

/* Of a process that has closed its result pipe: it is dying, or never answers again. */
#define DEAF_LOOK_NS (50 * NS_PER_MS)

/* Files are counted no more often: it means reading folders. */
#define DISK_LOOK_NS (200 * NS_PER_MS)

static uint64_t slot_life_cpu_ns(const Slot *slot) {
        uint64_t cpu_ns = meter_life_cpu_ns(&slot->worker.meter);

        /* 0 once it has been waited for. */
        if (cpu_ns < slot->life_cpu_ns)
                cpu_ns = slot->life_cpu_ns;
        return cpu_ns > slot->baseline_cpu_ns ? cpu_ns - slot->baseline_cpu_ns : 0;
}

uint64_t session_cpu_ns(const Session *session) {
        return session->cpu_before_ns + (session->slot ? slot_life_cpu_ns(session->slot) : 0);
}

static bool overruns_life(const Session *session) {
        return session->life_cpu_ms > 0 &&
               slot_life_cpu_ns(session->slot) > session->life_cpu_ms * NS_PER_MS;
}

/* --- files --- */

static DiskQuestion *question_of(const Session *session) {
        return &session->pool->sessions.questions[session->index];
}

uint64_t session_disk_bytes(const Session *session) {
        const DiskQuestion *question = question_of(session);
        uint64_t answer = __atomic_load_n(&question->answer.bytes_and_1, __ATOMIC_ACQUIRE);

        /* Another session may have had the index, or this one another workspace, when it was asked.
         */
        return answer > 0 && question->place == session->place->serial ? answer - 1
                                                                       : session->disk_bytes;
}

static HeldBy worker_of(const Slot *slot) {
        return slot ? (HeldBy){slot->worker.pid, slot->worker.pidfd} : HELD_BY_NONE;
}

/* Children of a cell's first process are those whose parents have ended. A guest's are its host's,
 * as nobody can tell. */
static HeldBy keeper_of(const Slot *slot) {
        return slot && !slot->host ? (HeldBy){slot->cell.keeper_pid, slot->cell.keeper_pidfd}
                                   : HELD_BY_NONE;
}

/* No more often than it is worth. */
void session_measure(Session *session, uint64_t now_ns) {
        Sessions *sessions = &session->pool->sessions;
        DiskQuestion *question = question_of(session);
        /* Once: the answer may come at any moment. */
        uint64_t answer = __atomic_load_n(&question->answer.bytes_and_1, __ATOMIC_ACQUIRE);
        MemberQuestion to_ask;

        if (answer > 0 && question->place == session->place->serial) {
                session->disk_bytes = answer - 1;
                session->disk_entries = question->answer.entries;
                session->has_unseen_files = !question->answer.is_whole;
                if (!session->is_measured)
                        session->reserve_disk_bytes = session->disk_bytes;
                session->is_measured = true;
        }
        if (question->asked_ns != 0 && (answer == 0 || now_ns - question->asked_ns < DISK_LOOK_NS))
                return;
        question->asked_ns = now_ns;
        question->place = session->place->serial;
        __atomic_store_n(&question->answer.bytes_and_1, 0, __ATOMIC_RELEASE);
        to_ask = (MemberQuestion){
                .home_fd = session->place->shared->home.directory_fd,
                .member = session->place->member.number,
                .uid = session->place->shared->home.uid,
                .by = {worker_of(session->slot), keeper_of(session->slot)},
        };
        janitor_measure_member(sessions->homes.janitor, &to_ask, &question->answer);
}

/* A session that was ended for its files may run again, so that they can be made less: for as long
 * as they do not become more. */
static bool overruns(uint64_t now, uint64_t limit, uint64_t *allowed) {
        if (now < *allowed)
                *allowed = now;
        return now > limit && now > *allowed;
}

/* Its workspace on disk, and what it has in memory of its cell. */
static bool overruns_disk(Slot *slot, uint64_t limit_mb) {
        Session *session = slot->session;
        uint64_t bytes, inodes;

        if (overruns(session->disk_bytes, limit_mb << 20, &session->disk_allowed_bytes) ||
            overruns(session->disk_entries, session->pool->config.session_files_max,
                     &session->entries_allowed))
                return true;
        return slot->template->has_cell_folders && !slot->host &&
               cell_measure(&slot->cell, &bytes, &inodes) == 0 &&
               bytes > slot->cell.clean_bytes + (limit_mb << 20);
}

void session_allow_disk(Session *session) {
        uint64_t most = session->limits.of[LIMIT_DISK_MB] << 21;

        session->disk_allowed_bytes = session->disk_bytes < most ? session->disk_bytes : most;
        session->entries_allowed = session->disk_entries;
}

/* --- during a run --- */

VerdictCause session_check_limits(Slot *slot, uint64_t now_ns) {
        const Run *run = slot->run;

        if (run->interrupt_first && now_ns >= slot->wall_deadline_ns) {
                uint64_t grace_ms = run->pool->config.interrupt_grace_ms;

                if (slot->interrupt_ns < slot->wall_deadline_ns) {
                        session_end_interrupt(slot);
                        session_interrupt_run(slot, grace_ms);
                }
        }
        if (slot->interrupt_ns != 0 && now_ns >= slot->interrupt_kill_ns)
                return now_ns >= slot->wall_deadline_ns ? CAUSE_WALL : CAUSE_CANCELLED;
        if (overruns_life(slot->session))
                return CAUSE_CPU;
        session_measure(slot->session, now_ns);
        return overruns_disk(slot, run->limits.of[LIMIT_DISK_MB]) ? CAUSE_DISK : CAUSE_NONE;
}

static uint64_t until(uint64_t ns, uint64_t now_ns, uint64_t most_ns) {
        if (ns <= now_ns)
                return 0;
        return ns - now_ns < most_ns ? ns - now_ns : most_ns;
}

uint64_t session_next_look_ns(const Slot *slot, uint64_t now_ns, uint64_t next_ns) {
        if (slot->interrupt_ns == 0)
                return next_ns;
        if (!slot->interrupt_sent)
                return NS_PER_MS;
        next_ns = until(slot->interrupt_again_ns, now_ns, next_ns);
        return until(slot->interrupt_kill_ns, now_ns, next_ns);
}

/* --- between runs --- */

void session_arm_look(Slot *slot) {
        uint64_t now_ns = clock_now_ns();

        slot->look_ns = IDLE_LOOK_NS;
        timer_set(&slot->template->pool->timers, &slot->timer,
                  now_ns + (slot->is_deaf ? DEAF_LOOK_NS : slot->look_ns));
}

void session_look_closely(Session *session) {
        if (session->slot)
                session->slot->looked_cpu_ns = 0;
}

static const char *overrun_of(Slot *slot) {
        const RunLimits *limits = &slot->session->limits;
        Meter *meter = &slot->worker.meter;

        if (slot->is_deaf)
                return "its process closed the channel of its results";
        if (overruns_life(slot->session))
                return "its process used more processor time than a session may";
        if (meter_growth_bytes(meter, meter_memory(meter)) > limits->of[LIMIT_MEMORY_MB] << 20 ||
            slot_is_out_of_memory(slot))
                return SESSION_LOSS_OF_MEMORY;
        if (overruns_disk(slot, limits->of[LIMIT_DISK_MB])) {
                session_allow_disk(slot->session);
                return SESSION_LOSS_OF_DISK;
        }
        return NULL;
}

/* Its clock stood still before the last look, too, so that look has seen how large the files were.
 * Only the process itself could have made anything of it more since: not so where there may be
 * other processes, of its own or of copies. */
static bool can_be_no_more(const Slot *slot) {
        return slot->look_ns > IDLE_LOOK_NS && !slot->is_deaf &&
               !slot->template->config->subprocesses && slot->place->shared->users == 1;
}

bool session_works(const Slot *slot) {
        return slot->template->config->subprocesses ||
               slot_life_cpu_ns(slot) != slot->looked_cpu_ns;
}

void session_look(Slot *slot, uint64_t now_ns) {
        uint64_t cpu_ns = slot_life_cpu_ns(slot), next_ns;
        bool stands_still = cpu_ns == slot->looked_cpu_ns;
        const char *overrun = NULL;

        /* Its session has just been given to it, or taken. */
        if (!slot->session)
                return;
        if (!stands_still || !can_be_no_more(slot)) {
                session_measure(slot->session, now_ns);
                overrun = overrun_of(slot);
        }
        if (overrun) {
                session_lose(slot->session, overrun);
                slot_move(slot, SLOT_EV_DEADLINE);
                return;
        }
        slot->look_ns = stands_still ? slot->look_ns * 2 : IDLE_LOOK_NS;
        if (slot->look_ns > IDLE_LOOK_MAX_NS)
                slot->look_ns = IDLE_LOOK_MAX_NS;
        slot->looked_cpu_ns = cpu_ns;
        next_ns = now_ns + slot->look_ns;
        if (slot->look_ns > IDLE_LOOK_NS)
                next_ns -= next_ns % IDLE_LOOK_GRID_NS;
        timer_set(&slot->template->pool->timers, &slot->timer, next_ns);
}
