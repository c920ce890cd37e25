#include "server/api/later.h"

#include <stdlib.h>

#include "server/hangup.h"
#include "server/respond.h"

/* In the request's pool. */
struct LaterTicket {
        Later *later; /* NULL once it has been freed */
        App *app;
        h2o_req_t *req;
        HangupWatch hangup;
};

static void ticket_dispose(void *data) {
        LaterTicket *ticket = data;

        hangup_unwatch(ticket->app->hangups, &ticket->hangup);
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
        *later->ticket = (LaterTicket){.later = later, .app = app, .req = req};
        return later;
}

/* The answer only makes libh2o write, notice, and free the request. */
static void on_gone(void *data) {
        LaterTicket *ticket = data;

        ticket->later->req = NULL;
        ticket->later->ticket = NULL;
        ticket->later = NULL;
        ticket->req->http1_is_persistent = 0;
        respond_error(ticket->req, ERRORS_PROBLEM, (ErrorAnswer){.status = 499},
                      "The client closed its side of the connection before there was an answer.");
}

void later_watch(Later *later) {
        hangup_watch(later->app->hangups, later->req, &later->ticket->hangup, on_gone,
                     later->ticket);
}

void later_look(Later *later) {
        if (later->ticket)
                hangup_look(&later->ticket->hangup);
}

void *later_free(void *later) {
        Later *object = later;

        if (object && object->ticket) {
                hangup_unwatch(object->app->hangups, &object->ticket->hangup);
                object->ticket->later = NULL;
        }
        free(object);
        return NULL;
}
