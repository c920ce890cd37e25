/* session_place: the files of sessions: who uses them, and until when. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kit/error.h"
#include "pool/internal.h"

static SharedHome *shared_new(Pool *pool) {
        SharedHome *shared = calloc(1, sizeof(*shared));

        if (shared) {
                shared->pool = pool;
                shared->homes = &pool->sessions.homes;
                shared->home = HOME_NONE;
        }
        return shared;
}

void shared_home_leave(SharedHome *shared) {
        if (shared->users > 0 && --shared->users > 0)
                return;
        if (shared->home.directory_fd >= 0)
                home_close(shared->homes, &shared->home);
        free(shared);
}

static Place *place_new(SharedHome *shared) {
        Place *place = calloc(1, sizeof(*place));

        if (!place)
                return NULL;
        place->shared = shared;
        place->member = HOME_MEMBER_NONE;
        place->users = 1;
        place->serial = ++shared->pool->sessions.place_serial;
        shared->users++;
        return place;
}

/* Without touching any file. */
static void place_drop(Place *place) {
        home_member_close(&place->member);
        shared_home_leave(place->shared);
        free(place);
}

int place_make(Pool *pool, bool has_tmp, Place **ret_place) {
        Homes *homes = &pool->sessions.homes;
        SharedHome *shared = shared_new(pool);
        Place *place = shared ? place_new(shared) : NULL;
        int r;

        if (!place) {
                free(shared);
                return raise_error(-ENOMEM, "allocate the place of a session");
        }
        r = home_make(homes, has_tmp, &shared->home, &place->member);
        if (r < 0) {
                shared->home = HOME_NONE;
                place->member = HOME_MEMBER_NONE;
                place_drop(place);
                return r;
        }
        *ret_place = place;
        return 0;
}

int place_add(Place *beside, Place **ret_place) {
        SharedHome *shared = beside->shared;
        Place *place = place_new(shared);
        int r;

        if (!place)
                return raise_error(-ENOMEM, "allocate the place of a session");
        r = home_add_member(shared->homes, &shared->home, beside->member.number, &place->member);
        if (r < 0) {
                place->member = HOME_MEMBER_NONE;
                place_drop(place);
                return r;
        }
        *ret_place = place;
        return 0;
}

int place_open(SharedHome *shared, unsigned member, Place **ret_place) {
        Place *place = place_new(shared);
        int r;

        if (!place)
                return raise_error(-ENOMEM, "allocate the place of a session");
        r = home_open_member(shared->homes, &shared->home, member, &place->member);
        if (r < 0) {
                place->member = HOME_MEMBER_NONE;
                place_drop(place);
                return r;
        }
        *ret_place = place;
        return 0;
}

const char *place_folder(const Place *place) {
        return place->member.folder;
}

Place *place_use(Place *place) {
        place->users++;
        return place;
}

Place *place_leave(Place *place) {
        if (!place || --place->users > 0)
                return NULL;
        if (place->is_doomed)
                home_remove_member(place->shared->homes, &place->shared->home, &place->member);
        place_drop(place);
        return NULL;
}

void place_doom(Place *place) {
        char name[32];

        if (place->is_doomed)
                return;
        place->is_doomed = true;
        /* Its folders may have to wait for a process to go; whoever asks a later server for the
         * session must not find it. */
        (void) snprintf(name, sizeof(name), "%u.session", place->member.number);
        (void) unlinkat(place->shared->home.directory_fd, name, 0);
}
