#pragma once
/*
 * later: an answer that comes when something has ended which goes on whether or not its client
 * still waits: an interrupt, a copy of a session, a chore. It outlives the request, and knows
 * whether there is one.
 */

#include <h2o.h>

#include "server/app.h"

typedef struct LaterTicket LaterTicket;

/* To be the first member of what the answer needs. */
typedef struct Later {
        App *app;
        h2o_req_t *req; /* NULL: nobody waits any more */
        LaterTicket *ticket;
} Later;

/* size bytes, zeroed but for the Later that they begin with; NULL without memory. */
void *later_new(App *app, h2o_req_t *req, size_t size);
/* A client that hangs up is noticed before the answer: then req is NULL. */
void later_watch(Later *later);
/* Looks at once, just before the answer. */
void later_look(Later *later);
/* Takes NULL. */
void *later_free(void *later);
