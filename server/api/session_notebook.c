/* session_notebook: GET /v1/sessions/{id}/notebook. */

#include "server/api/api.h"
#include "server/api/download_head.h"
#include "server/api/later.h"
#include "server/api/session_exchange.h"

#include <errno.h>
#include <stdio.h>

#include "server/notebook.h"

typedef struct Fetch {
        Later later;
        char id[SESSION_ID_MAX + 1];
} Fetch;

static void add_file_name(h2o_req_t *req, const char *id) {
        char *disposition = h2o_mem_alloc_pool(&req->pool, DISPOSITION_MAX);
        char name[SESSION_ID_MAX + 8];

        (void) snprintf(name, sizeof(name), "%s.ipynb", id);
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("content-disposition"), 0,
                              NULL, disposition, download_disposition(name, disposition));
}

static void on_read(void *data, int r, Buffer *document) {
        Fetch *fetch = data;
        h2o_req_t *req = fetch->later.req;

        if (req && r < 0) {
                respond_session_problem(fetch->later.app, req, ERRORS_PROBLEM, r);
        } else if (req) {
                add_file_name(req, fetch->id);
                respond_buffer(req, 200, "application/x-ipynb+json", document);
        }
        (void) later_free(fetch);
}

void handle_session_notebook(App *app, h2o_req_t *req, const RouteMatch *match) {
        const Session *session = session_of_path(app, req, match);
        SessionInfo info;
        Fetch *fetch;
        int r = -ENOMEM;

        if (!session)
                return;
        session_inspect(session, &info);
        fetch = later_new(app, req, sizeof(*fetch));
        if (fetch) {
                (void) snprintf(fetch->id, sizeof(fetch->id), "%s", info.id);
                r = notebook_read(app->notebooks, session, on_read, fetch);
        }
        if (r == 0)
                return;
        respond_session_problem(app, req, match->errors, r);
        (void) later_free(fetch);
}
