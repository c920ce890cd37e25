#pragma once
/* refuse: says no to a connection that is one too many. The answer would be lost if the connection
 * were closed while the client still sends (the kernel then resets it), so it is kept, unread, for
 * a moment; of these there are few. */

#include <h2o.h>
#include <stdbool.h>

#include "kit/cleanup.h"

typedef struct Refusals Refusals;

Refusals *refusals_new(h2o_loop_t *loop);
/* Closes what is left. */
Refusals *refusals_free(Refusals *refusals);

/* Answers 503 without having read the request, over plain HTTP, and closes in the end. Takes the
 * socket. */
void refuse_connection(Refusals *refusals, h2o_socket_t *sock, bool is_tls);
