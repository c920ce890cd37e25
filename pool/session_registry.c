/* session_registry: which sessions there are: by id, in order of creation, by index. */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* FNV-1a. Clients choose ids, but nobody has more sessions than sessions_max. */
static unsigned hash_of(const Sessions *sessions, SessionSpace space, Slice id) {
        uint64_t hash = 14695981039346656037ULL ^ sessions->seed ^ (uint64_t) space;

        for (size_t i = 0; i < id.size; i++)
                hash = (hash ^ id.data[i]) * 1099511628211ULL;
        return (unsigned) ((hash ^ hash >> 32) % sessions->n_hash);
}

static Session **bucket_of(const Session *session) {
        Sessions *sessions = &session->pool->sessions;

        return &sessions->hash[hash_of(sessions, session->space, slice_of_text(session->id))];
}

Session *session_find(Pool *pool, SessionSpace space, Slice id) {
        Sessions *sessions = &pool->sessions;
        Session *session;

        if (!sessions->is_open)
                return NULL;
        session = sessions->hash[hash_of(sessions, space, id)];
        while (session && (session->space != space || !slice_equals(id, session->id)))
                session = session->next_of_hash;
        return session;
}

Session *session_next(Pool *pool, SessionSpace space, const Session *after) {
        Session *session = after ? after->next : pool->sessions.first;

        while (session && session->space != space)
                session = session->next;
        return session;
}

/* Restored ones come in no order: each finds its place, from the end. */
static void link_in_order(Sessions *sessions, Session *session) {
        Session *after = sessions->last;

        while (after && after->sequence > session->sequence)
                after = after->previous;
        session->previous = after;
        session->next = after ? after->next : sessions->first;
        if (session->next)
                session->next->previous = session;
        else
                sessions->last = session;
        if (after)
                after->next = session;
        else
                sessions->first = session;
}

int session_register(Session *session) {
        Sessions *sessions = &session->pool->sessions;
        Session **bucket = bucket_of(session);

        if (sessions->n == sessions->n_max)
                return -ENOSPC;
        while (sessions->by_index[sessions->next_index])
                sessions->next_index = (sessions->next_index + 1) % sessions->n_max;
        session->index = sessions->next_index;
        sessions->by_index[session->index] = session;
        timer_init(&session->timer, TIMER_SESSION, session->index);
        sessions->n++;
        sessions->n_lost += session->state == SESSION_LOST;
        if (session->sequence == 0)
                session->sequence = sessions->sequence + 1;
        if (session->sequence > sessions->sequence)
                sessions->sequence = session->sequence;
        session->next_of_hash = *bucket;
        *bucket = session;
        link_in_order(sessions, session);
        session_reserve_start(session->pool);
        return 0;
}

void session_unregister(Session *session) {
        Sessions *sessions = &session->pool->sessions;
        Session **at = bucket_of(session);

        timer_clear(&session->pool->timers, &session->timer);
        while (*at != session)
                at = &(*at)->next_of_hash;
        *at = session->next_of_hash;
        if (session->previous)
                session->previous->next = session->next;
        else
                sessions->first = session->next;
        if (session->next)
                session->next->previous = session->previous;
        else
                sessions->last = session->previous;
        sessions->by_index[session->index] = NULL;
        sessions->n_lost -= session->state == SESSION_LOST;
        sessions->n--;
}

static int allocate(Sessions *sessions) {
        sessions->n_hash = sessions->n_max;
        sessions->by_index = calloc(sessions->n_max, sizeof(Session *));
        sessions->hash = calloc(sessions->n_hash, sizeof(Session *));
        sessions->questions = calloc(sessions->n_max, sizeof(DiskQuestion));
        if (!sessions->by_index || !sessions->hash || !sessions->questions)
                return raise_error(-ENOMEM, "allocate %u sessions", sessions->n_max);
        /* Not a secret: where it cannot be had, the lists are as long as somebody makes them. */
        if (getrandom(&sessions->seed, sizeof(sessions->seed), GRND_NONBLOCK) < 0)
                sessions->seed = 0;
        return 0;
}

int sessions_open(Pool *pool) {
        const PoolConfig *config = &pool->config;
        Sessions *sessions = &pool->sessions;
        uint32_t uid_base = 0;
        int r;

        r = chores_new(2, 256, &pool->chores);
        if (r == 0)
                r = pool_watch(pool, chores_fd(pool->chores), SOURCE_CHORES, 0, 0);
        if (r < 0 || session_slots(config) == 0)
                return r;
        for (size_t i = 0; i < config->n_templates; i++) {
                if (pool->templates[i].layers & layer_bit(LAYER_UID))
                        uid_base = config->worker_uid_base + SLOTS_MAX;
        }
        r = allocate(sessions);
        if (r == 0)
                r = homes_open(&sessions->homes, config->state_directory, uid_base);
        if (r < 0)
                return r;
        sessions->is_open = true;
        sessions->reserve.wanted_bytes = config->state_reserve_mb << 20;
        return sessions_restore(pool);
}

static void session_close(Session *session) {
        Run *next;

        for (Run *run = session->queue_first; run; run = next) {
                next = run->next;
                run_free(run);
        }
        /* How often it has run, the record has not been told at each run. */
        if (!session->place->is_doomed)
                session_write_record(session);
        place_leave(session->place);
        free(session);
}

void sessions_close(Pool *pool) {
        Sessions *sessions = &pool->sessions;
        Session *next;
        Run *next_run;

        for (Run *run = sessions->cancelled_first; run; run = next_run) {
                next_run = run->next;
                run_free(run);
        }
        sessions_free_forks(pool);
        for (Session *session = sessions->first; session; session = next) {
                next = session->next;
                session_close(session);
        }
        if (sessions->is_open)
                homes_close(&sessions->homes);
        free(sessions->by_index);
        free(sessions->hash);
        /* The janitor has answered all. */
        free(sessions->questions);
        *sessions = (Sessions){0};
}
