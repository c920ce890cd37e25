#pragma once
/*
 * spool: a file without a name that a body is gathered in as it comes. Writing is done in chores,
 * so that a slow disk holds up nobody else; what comes meanwhile waits in one buffer, and when that
 * is full its owner has to wait.
 */

#include <stdbool.h>
#include <stdint.h>

#include "pool/chores.h"

#define SPOOL_BUFFER_BYTES (256U << 10)

typedef struct Spool Spool;

/* moved is called from the event loop when a write has ended: there is room again, or
 * spool_is_idle(), or spool_error(). */
Spool *spool_new(Chores *chores, int folder_fd, void (*moved)(void *data), void *data);
/* A write that is under way goes on, and is forgotten. */
Spool *spool_free(Spool *spool);
DEFINE_CLEANUP(Spool, spool_free)

/* Takes as many bytes as there is room for, 0: none now. */
size_t spool_append(Spool *spool, const void *bytes, size_t size);
/* Bytes that spool_append() would take now, at least. */
size_t spool_room(const Spool *spool);
/* No more come: writes what waits. */
void spool_finish(Spool *spool);
/* Nothing waits and nothing is being written. */
bool spool_is_idle(const Spool *spool);
/* 0, or the -errno that has ended it: -ENOSPC, -EAGAIN (too many chores), … Then bytes are taken
 * and dropped. */
int spool_error(const Spool *spool);
/* Bytes that were appended. */
uint64_t spool_size(const Spool *spool);
/* Hands the file over; the caller's to close. */
int spool_take_fd(Spool *spool);
