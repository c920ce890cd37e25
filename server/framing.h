#pragma once
/*
 * framing: whether it is beyond doubt where an HTTP/1 request ends. libh2o 2.2.5 (lib/http1.c,
 * init_headers()) takes the first Content-Length of several, prefers Transfer-Encoding to any, and
 * passes none of them on. A proxy in front may read the same bytes otherwise, and then the two
 * disagree about where the next request begins. The head still stands in the connection's input
 * while the request is handled, so it is looked at once more.
 */

#include <h2o.h>

#include "kit/bytes.h"

/* What is wrong, as a sentence for the client, or NULL. */
const char *framing_problem(h2o_req_t *req);

/* The same for the bytes of a head that libh2o has taken; what follows the head is not read. */
const char *framing_problem_of_head(Slice head);
