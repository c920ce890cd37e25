/* session_record: what a later server finds of a session. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

static void copy(char *to, size_t size, const char *from) {
        (void) snprintf(to, size, "%s", from);
}

void session_write_record(const Session *session) {
        HomeRecord record = {
                .space = session->space,
                .forgets = session->forgets,
                .created_s = session->created_s,
                .idle_ms = session->idle_ms,
                .life_cpu_ms = session->life_cpu_ms,
                .runs = session->runs,
                .sequence = session->sequence,
                .limits = session->limits,
        };

        copy(record.id, sizeof(record.id), session->id);
        copy(record.template, sizeof(record.template), session->template->config->name);
        copy(record.alias, sizeof(record.alias), session->alias);
        copy(record.forked_from, sizeof(record.forked_from), session->forked_from);
        /* It lives all the same: but not for a later server. */
        if (home_record_write(&session->place->shared->home, session->place->member.number,
                              &record) < 0)
                log_warning("session %u cannot be written down", session->index);
}

typedef struct Restore {
        Pool *pool;
        SharedHome *shared;
        unsigned n_kept, n_removed;
} Restore;

/* NULL: it is over, or of no use any more. */
static Session *session_of(Pool *pool, const HomeRecord *record) {
        int template = pool_find_template(pool, slice_of_text(record->template));
        uint64_t now_s = (uint64_t) time(NULL);
        uint64_t idle_ms = now_s > record->used_s ? (now_s - record->used_s) * 1000 : 0;
        Session *session;

        if (template <0 || session_id_problem(slice_of_text(record->id)) ||
                      (record->idle_ms > 0 && idle_ms >= record->idle_ms) ||
                      session_find(pool, record->space, slice_of_text(record->id)))
                return NULL;
        session = session_new(pool, &pool->templates[template]);
        if (!session)
                return NULL;
        session->space = record->space;
        session->limits = record->limits;
        session->idle_ms = record->idle_ms;
        session->life_cpu_ms = record->life_cpu_ms;
        session->forgets = record->forgets;
        session->created_s = record->created_s;
        session->runs = record->runs;
        session->sequence = record->sequence;
        session->state = SESSION_LOST;
        session->lost = record->forgets ? NULL : "the server was started anew";
        session->used_ns = clock_now_ns();
        session->used_ns -=
                idle_ms * NS_PER_MS < session->used_ns ? idle_ms * NS_PER_MS : session->used_ns;
        copy(session->id, sizeof(session->id), record->id);
        copy(session->alias, sizeof(session->alias), record->alias);
        copy(session->forked_from, sizeof(session->forked_from), record->forked_from);
        return session;
}

static int restore_member(void *data, unsigned member) {
        Restore *restore = data;
        Pool *pool = restore->pool;
        HomeRecord record;
        Session *session;
        Place *place;

        if (place_open(restore->shared, member, &place) < 0)
                return 0;
        session = home_record_read(&restore->shared->home, member, &record) == 0
                          ? session_of(pool, &record)
                          : NULL;
        if (session && !session->template->has_cell_folders &&
            home_make_tmp(&restore->shared->home) < 0) {
                free(session);
                session = NULL;
        }
        if (session) {
                session_set_place(session, place);
                if (session_register(session) == 0) {
                        if (session->idle_ms > 0)
                                timer_set(&pool->timers, &session->timer,
                                          session->used_ns + session->idle_ms * NS_PER_MS);
                        restore->n_kept++;
                        return 0;
                }
                free(session);
        }
        restore->n_removed++;
        place_doom(place);
        place_leave(place);
        return 0;
}

int sessions_restore(Pool *pool) {
        Homes *homes = &pool->sessions.homes;
        Restore restore = {.pool = pool};
        uint64_t position = 0;

        for (;;) {
                SharedHome *shared = calloc(1, sizeof(*shared));
                int r;

                if (!shared)
                        return raise_error(-ENOMEM, "allocate a home");
                shared->pool = pool;
                shared->homes = homes;
                shared->home = HOME_NONE;
                r = homes_next(homes, &position, &shared->home);
                if (r <= 0) {
                        free(shared);
                        if (r < 0)
                                return r;
                        break;
                }
                /* Held until all its members have been looked at. */
                shared->users = 1;
                restore.shared = shared;
                if (home_record_list(&shared->home, restore_member, &restore) < 0)
                        log_warning("the sessions of home %s cannot be listed", shared->home.name);
                shared_home_leave(shared);
        }
        if (restore.n_kept + restore.n_removed > 0)
                log_info("sessions of an earlier server kept=%u removed=%u", restore.n_kept,
                         restore.n_removed);
        return 0;
}
