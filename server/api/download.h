#pragma once
/* download: a file of a session as an answer. It is read in chores, piece by piece as the client
 * takes it, so that its size costs no memory. */

#include "pool/session.h"
#include "server/app.h"
#include "server/route.h"

typedef struct DownloadOptions {
        bool attachment; /* Content-Disposition: attachment, with the file's name */
        /* What to answer when there is no such file, 404, in the route's style, and of a folder.
         * NULL: the standard sentences. */
        const char *not_found;
} DownloadOptions;

/*
 * Answers with the file: 200; 206 and 416 for one range; 304 for If-None-Match and
 * If-Modified-Since; 412 for If-Match and If-Unmodified-Since; HEAD. path has not been judged yet:
 * one that can be no file's is 404. A folder is 409, or not found; a link or a device is 404. The
 * answer comes later. A file that shrinks meanwhile has its answer cut off; one that grows is sent
 * as long as it was.
 */
void download_file(App *app, h2o_req_t *req, const RouteMatch *match, Session *session, Slice path,
                   const DownloadOptions *options);
