#pragma once
/*
 * home_record: what a later server has to know of a session, in a small text file beside its
 * workspace ("<member>.session"): one "name value" a line, replaced as a whole (rename), never seen
 * by a worker. Its time of last use is the file's modification time, set without writing it.
 */

#include "pool/home.h"
#include "pool/session.h"

typedef struct HomeRecord {
        SessionSpace space;
        char id[SESSION_ID_MAX + 1];
        char template[TEMPLATE_NAME_MAX + 1];
        char alias[SESSION_ID_MAX + 1];       /* "": none */
        char forked_from[SESSION_ID_MAX + 1]; /* "": none */
        bool forgets;
        uint64_t created_s, used_s; /* since the epoch; used_s is read from the file's times */
        uint64_t idle_ms, life_cpu_ms;
        uint64_t runs;
        uint64_t sequence; /* order of creation */
        RunLimits limits;
} HomeRecord;

_must_check_ int home_record_write(const Home *home, unsigned member, const HomeRecord *record);
/* -ENOENT: there is none; -EBADMSG: it cannot be read, and the log says why. */
_must_check_ int home_record_read(const Home *home, unsigned member, HomeRecord *ret_record);
/* It has been used now, and has had so many runs. */
void home_record_touch(const Home *home, unsigned member, uint64_t runs);
/* Members that have a record: calls found for each, until it returns not 0. */
_must_check_ int home_record_list(const Home *home, int (*found)(void *data, unsigned member),
                                  void *data);
