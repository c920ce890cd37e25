#pragma once
/*
 * hangup: notices that a client has gone while its run is under way. libh2o 2.2 stops reading an
 * HTTP/1 connection while a request is handled, so it would notice only when it writes. The watcher
 * asks the kernel (poll with POLLRDHUP) a few times a second about the connections that wait.
 */

#include <h2o.h>

#include "server/app.h"

typedef struct HangupWatch {
        struct HangupWatch *previous, *next;
        int fd;
        void (*gone)(void *data);
        void *data;
} HangupWatch;

/* gone is called at most once, from the event loop, and the watch is out of the list then. A
 * request over HTTP/2 is not watched: h2o disposes of it by itself. */
void hangup_watch(HangupWatcher *watcher, h2o_req_t *req, HangupWatch *watch,
                  void (*gone)(void *data), void *data);

/* Looks at once, for an answer that leaves nothing behind if nobody is there to read it. Harmless
 * when the watch is not in the list. */
void hangup_look(HangupWatch *watch);

/* Harmless when it is not in the list. */
void hangup_unwatch(HangupWatcher *watcher, HangupWatch *watch);
