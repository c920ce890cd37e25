#pragma once
/* workspace_listing: the end of an answer that shows what is in a session's workspace. */

#include <h2o.h>

#include "pool/session.h"
#include "server/app.h"

/*
 * Sends 200 with body, an unfinished JSON object that ends with the name of a member, closed by a
 * list of the lines of the workspace's listing (server/listing.h). The files are looked at by a
 * chore, so the answer comes later. Empties body. session may be NULL: it has ended.
 */
void respond_with_listing(App *app, h2o_req_t *req, const Session *session, Buffer *body);
