/* root: GET /, a page for a browser, and a list of links for everybody else. */

#include "server/api/api.h"
#include "server/api/facts.h"
#include "server/request.h"
#include "server/respond.h"

/* root.html, made by the build. */
static const uint8_t page[] = {
#include "root.html.inc"
};

static void write_links(JsonWriter *writer) {
        static const struct {
                const char *name, *path;
        } links[] = {
                {"execute", "/v1/execute"},
                {"batch", "/v1/batch"},
                {"sessions", "/v1/sessions"},
                {"templates", "/v1/templates"},
                {"capabilities", "/v1/capabilities"},
                {"health", "/health"},
                {"ready", "/ready"},
                {"data_analysis", "/api/execute"},
                {"code_sandbox", "/execute_code"},
                {"code_interpreter", "/execute"},
                {"user_container", "/run"},
                {"jupyter_sessions", "/start_session"},
        };

        json_begin_object(writer);
        for (size_t i = 0; i < N_ELEMENTS(links); i++) {
                json_key(writer, links[i].name);
                json_literal(writer, links[i].path);
        }
        json_end_object(writer);
}

void handle_root(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        Slice accept = request_header(req, "accept");

        (void) app;
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_VARY, NULL, H2O_STRLIT("accept"));
        if (accept.size > 0 && memmem(accept.data, accept.size, "text/html", strlen("text/html"))) {
                respond_bytes(req, 200, "text/html; charset=utf-8", slice_of(page, sizeof(page)));
                return;
        }
        json_begin_object(&writer);
        json_key(&writer, "name");
        json_literal(&writer, "hatchery");
        json_key(&writer, "version");
        json_literal(&writer, HATCHERY_VERSION);
        json_key(&writer, "links");
        write_links(&writer);
        json_end_object(&writer);
        facts_respond(req, match, 200, &writer, &body);
}
