#pragma once
/* copies: what tests do with copies of live sessions. */

#include "sessions.h"

typedef struct Told {
        unsigned calls;
        int result;
        Session *copy;
        ForkNotes notes;
        void (*when_told)(struct Told *told);
} Told;

static inline void on_forked(void *data, int r, Session *copy, const ForkNotes *notes) {
        Told *told = data;

        told->calls++;
        told->result = r;
        told->copy = copy;
        told->notes = *notes;
        if (told->when_told)
                told->when_told(told);
}

static inline int ask_for_copy(Session *source, const char *id, Told *told) {
        const SessionOptions options = options_of(id);
        const ForkCallback callback = {on_forked, told};

        return session_fork(source, &options, &callback);
}

static inline void hear(Told *told) {
        drive_until(told->calls > 0);
        assert_int_equal(told->calls, 1);
}

static inline Session *copy_of(Session *source, const char *id) {
        Told told = {0};

        assert_int_equal(ask_for_copy(source, id, &told), POOL_OK);
        assert_int_equal(info_of(source).state, SESSION_FORKING);
        assert_int_equal(told.calls, 0);
        hear(&told);
        assert_int_equal(told.result, POOL_OK);
        assert_ptr_equal(told.copy, find_session(id));
        return told.copy;
}

static inline bool can_fork(void) {
        return driver_survey.layers[LAYER_SECCOMP].error == 0 &&
               driver_survey.layers[LAYER_LANDLOCK].error == 0;
}

#define need_copies()                                                                              \
        do {                                                                                       \
                if (!can_fork())                                                                   \
                        skip_because("no system call filter or no Landlock here");                 \
        } while (0)

static inline Session *make_source(void) {
        Session *source;

        start_with_spares();
        source = make_session("source");
        say_in(source, "x = [1]\nopen('f', 'w').write('text') and None", "");
        return source;
}
