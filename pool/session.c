#include "pool/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "jsontext/utf8.h"
#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define RANDOM_ID_BYTES 16

const char *session_id_problem(Slice id) {
        if (id.size == 0)
                return "is empty";
        if (id.size > SESSION_ID_MAX)
                return "is longer than 128 bytes";
        if (slice_equals(id, ".") || slice_equals(id, ".."))
                return "is the name of a folder that exists everywhere";
        for (size_t i = 0; i < id.size; i++) {
                if (id.data[i] == '/')
                        return "has a slash in it";
                /* U+0080 to U+009F are two bytes in UTF-8, of which the first is 0xc2. */
                if (id.data[i] < 0x20 || id.data[i] == 0x7f ||
                    (i > 0 && id.data[i - 1] == 0xc2 && id.data[i] < 0xa0))
                        return "has a control character in it";
        }
        return utf8_valid_prefix(id) == id.size ? NULL : "is not valid UTF-8";
}

static void copy_text(char *to, size_t size, Slice text) {
        assert(text.size < size);
        memcpy(to, text.data, text.size);
        to[text.size] = '\0';
}

static int make_id(Session *session) {
        uint8_t bytes[RANDOM_ID_BYTES];

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return raise_errno("get random bytes for the id of a session");
        for (size_t i = 0; i < sizeof(bytes); i++)
                (void) snprintf(session->id + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

Session *session_new(Pool *pool, Template *template) {
        Session *session = calloc(1, sizeof(*session));

        if (!session)
                return NULL;
        session->pool = pool;
        session->template = template;
        session->timer.position = TIMER_OFF;
        return session;
}

void session_set_place(Session *session, Place *place) {
        const SharedHome *shared = place->shared;
        char home[160];

        session->place = place;
        session->disk_bytes = session->disk_allowed_bytes = 0;
        session->disk_entries = session->entries_allowed = 0;
        session->is_measured = false;
        if (session->template->has_cell_folders) {
                (void) snprintf(session->workspace_path, sizeof(session->workspace_path),
                                "/work/%s", place_folder(place));
                return;
        }
        home_path(shared->homes, &shared->home, home, sizeof(home));
        (void) snprintf(session->workspace_path, sizeof(session->workspace_path), "%s/work/%s",
                        home, place_folder(place));
}

/* Whether there is a slot for one more, now or soon: the cell of a source that has ended, or has
 * lost its process, keeps its own for as long as copies live in it. */
static bool has_slot(const Pool *pool) {
        unsigned n = pool->sessions.n;

        if (pool->free_slots.n > 0)
                return true;
        for (unsigned i = 0; i < pool->n_slots; i++) {
                const Slot *slot = &pool->slots[i];

                n += slot->of_sessions && !slot->trial && !slot->session && slot->n_guests > 0;
        }
        return n < session_slots(&pool->config);
}

/* Returns POOL_OK, or why there cannot be one more. */
static int make_room(Pool *pool, const Template *template) {
        if (pool->draining)
                return POOL_E_DRAINING;
        if (!pool->sessions.is_open)
                return SESSION_E_TOO_MANY;
        if (pool_disk_is_short(pool, 0))
                return SESSION_E_NO_DISK;
        if (template->canary.sessions_broken)
                return SESSION_E_UNPROVEN;
        while (pool->sessions.n >= pool->config.sessions_max || !has_slot(pool)) {
                if (!sessions_evict_one(pool))
                        return SESSION_E_TOO_MANY;
        }
        return POOL_OK;
}

int session_prepare(Pool *pool, const SessionOptions *options, Session **ret_session) {
        Session *session;
        int r;

        assert(options->template <pool->config.n_templates);
        assert(options->id.size == 0 || !session_id_problem(options->id));
        if (options->id.size > 0 && session_find(pool, options->space, options->id))
                return SESSION_E_EXISTS;
        r = make_room(pool, &pool->templates[options->template]);
        if (r != POOL_OK)
                return r;
        session = session_new(pool, &pool->templates[options->template]);
        if (!session)
                return raise_error(-ENOMEM, "allocate a session");
        session->space = options->space;
        session->limits = options->limits;
        session->idle_ms = options->idle_ms;
        session->life_cpu_ms = options->life_cpu_ms;
        session->forgets = options->forgets;
        session->created_s = (uint64_t) time(NULL);
        session->used_ns = clock_now_ns();
        if (options->alias)
                copy_text(session->alias, sizeof(session->alias), slice_of_text(options->alias));
        if (options->id.size > 0)
                copy_text(session->id, sizeof(session->id), options->id);
        else
                r = make_id(session);
        if (r < 0) {
                free(session);
                return r;
        }
        *ret_session = session;
        return POOL_OK;
}

/* A spare's place, or a new one; the caller uses it. */
static int get_place(Session *session, Slot **ret_spare, Place **ret_place) {
        *ret_spare = session_spare(session->template);
        if (!*ret_spare)
                return place_make(session->pool, !session->template->has_cell_folders, ret_place);
        *ret_place = place_use((*ret_spare)->place);
        return 0;
}

static void get_worker(Session *session, Slot *spare) {
        if (spare) {
                session_hold(session, spare);
                session_assign(session);
                /* Another one is made for the next. */
                pool_wake_at(session->pool, clock_now_ns());
        } else {
                session_want(session);
        }
}

int session_create(Pool *pool, const SessionOptions *options, Session **ret_session) {
        Session *session;
        Place *place;
        Slot *spare;
        int r;

        r = session_prepare(pool, options, &session);
        if (r != POOL_OK)
                return r;
        r = get_place(session, &spare, &place);
        if (r < 0) {
                free(session);
                return r;
        }
        session_set_place(session, place);
        r = session_register(session);
        if (r < 0) {
                if (!spare)
                        place_doom(place);
                place_leave(place);
                free(session);
                return r == -ENOSPC ? SESSION_E_TOO_MANY : r;
        }
        pool->counters.sessions_made++;
        session_write_record(session);
        get_worker(session, spare);
        *ret_session = session;
        return timer_heap_arm(&pool->timers);
}

void session_end(Session *session) {
        Pool *pool = session->pool;

        session_remove(session);
        if (timer_heap_arm(&pool->timers) < 0)
                log_error("the pool's timers cannot be armed");
}

int session_reset(Session *session, bool keep_files) {
        Slot *spare = NULL;
        Place *place = NULL, *old = session->place;
        int r;

        if (!keep_files) {
                r = get_place(session, &spare, &place);
                if (r < 0)
                        return r;
        }
        session_fork_gone(session);
        session_detach(session);
        session->lost = NULL;
        session->cannot_be_bound = false;
        session_move(session, SESSION_EV_WANT);
        if (place) {
                session_set_place(session, place);
                place_doom(old);
                place_leave(old);
        }
        session->packages_changed = false;
        session_write_record(session);
        session->used_ns = clock_now_ns();
        get_worker(session, spare);
        session_tell_interrupted(session, true);
        return timer_heap_arm(&session->pool->timers);
}

static uint64_t expires_ms(const Session *session, uint64_t now_ns) {
        uint64_t idle_ms = (now_ns - session->used_ns) / NS_PER_MS;

        if (session->idle_ms == 0)
                return UINT64_MAX;
        if (session->state == SESSION_BUSY || session->n_queued > 0)
                return session->idle_ms;
        return session->idle_ms > idle_ms ? session->idle_ms - idle_ms : 0;
}

void session_inspect(const Session *session, SessionInfo *ret_info) {
        uint64_t now_ns = clock_now_ns();

        *ret_info = (SessionInfo){
                .space = session->space,
                .id = session->id,
                .template = session->template->config->name,
                .state = session->state,
                .lost = session->lost,
                .forked_from = session->forked_from[0] ? session->forked_from : NULL,
                .created_s = session->created_s,
                .sequence = session->sequence,
                .idle_ms = session->state == SESSION_BUSY ? 0
                                                          : (now_ns - session->used_ns) / NS_PER_MS,
                .expires_ms = expires_ms(session, now_ns),
                .runs = session->runs,
                .queued = session->n_queued,
                .disk_bytes = session_disk_bytes(session),
                .limits = session->limits,
        };
}

SessionUsage session_usage(const Session *session) {
        const Slot *slot = session->slot;
        SessionUsage usage = {.cpu_ns = session_cpu_ns(session)};

        if (slot && slot->worker.meter.status_fd >= 0)
                usage.memory_bytes =
                        meter_growth_bytes(&slot->worker.meter, meter_memory(&slot->worker.meter));
        return usage;
}

int session_workspace_fd(const Session *session) {
        return session->place->member.work_fd;
}

int session_packages_fd(const Session *session) {
        return session->place->member.packages_fd;
}

int session_record_fd(const Session *session) {
        return session->place->shared->home.directory_fd;
}

unsigned session_member(const Session *session) {
        return session->place->member.number;
}

uid_t session_uid(const Session *session) {
        uid_t uid = session->place->shared->home.uid;

        return uid != 0 ? uid : (uid_t) -1;
}

const char *session_workspace_path(const Session *session) {
        return session->workspace_path;
}

void session_touch(Session *session) {
        session_use(session);
        session_measure(session, clock_now_ns());
        session_look_closely(session);
        if (timer_heap_arm(&session->pool->timers) < 0)
                log_error("the pool's timers cannot be armed");
}

void session_packages_changed(Session *session) {
        session->packages_changed = true;
}
