#pragma once
/* http: the event loop, the listeners and libh2o. */

#include <h2o.h>

#include "kit/cleanup.h"
#include "server/app.h"
#include "server/listen.h"

typedef struct Http Http;

/* Makes the loop and accepts on every listener; listeners and app are borrowed. Sets app->hangups.
 * On failure one line on standard error has said why. */
_must_check_ int http_new(App *app, ListenerSet *listeners, Http **ret_http);
h2o_loop_t *http_loop(const Http *http);

/* One turn of the loop, of at most that many milliseconds. */
_must_check_ int http_turn(Http *http, int wait_ms);

/* Calls readable from the loop whenever fd is readable. The loop works on a duplicate, so fd stays
 * the caller's. */
_must_check_ int http_watch_fd(Http *http, int fd, void (*readable)(App *app));

/* Stops accepting, asks clients to close, and ends connections that wait. */
void http_drain(Http *http);

/* Ends what is open, at once. The loop and the configuration stay: libh2o 2.2 cannot give back all
 * that they hold. */
void http_close(Http *http);
