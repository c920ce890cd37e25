#include "server/api/later.h"

#include <stdlib.h>

/* In the request's pool. */
struct LaterTicket {
        Later *later; /* NULL once it has been freed */
};

static void ticket_dispose(void *data) {
        LaterTicket *ticket = data;

        if (!ticket->later)
                return;
        ticket->later->req = NULL;
        ticket->later->ticket = NULL;
}

void *later_new(App *app, h2o_req_t *req, size_t size) {
        Later *later = calloc(1, size);

        if (!later)
                return NULL;
        later->app = app;
        later->req = req;
        later->ticket = h2o_mem_alloc_shared(&req->pool, sizeof(*later->ticket), ticket_dispose);
        later->ticket->later = later;
        return later;
}

void *later_free(void *later) {
        Later *object = later;

        if (object && object->ticket)
                object->ticket->later = NULL;
        free(object);
        return NULL;
}
