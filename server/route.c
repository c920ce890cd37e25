#include "server/route.h"

#include <assert.h>

#include "server/api/api.h"
#include "server/percent.h"
#include "server/request.h"
#include "server/respond.h"

/* clang-format off */
static const Route routes[] = {
        {"GET",  "/",                   handle_root,                    ERRORS_PROBLEM,       BODY_REQUEST},
        {"GET",  "/health",             handle_health,                  ERRORS_PROBLEM,       BODY_REQUEST},
        {"GET",  "/ready",              handle_ready,                   ERRORS_PROBLEM,       BODY_REQUEST},

        {"POST", "/v1/execute",         handle_execute,                 ERRORS_PROBLEM,       BODY_REQUEST},
        {"POST", "/v1/batch",           handle_batch,                   ERRORS_PROBLEM,       BODY_REQUEST},
        {"GET",  "/v1/templates",       handle_templates,               ERRORS_PROBLEM,       BODY_REQUEST},
        {"GET",  "/v1/capabilities",    handle_capabilities,            ERRORS_PROBLEM,       BODY_REQUEST},

        {"POST",   "/v1/sessions",                  handle_sessions_create,         ERRORS_PROBLEM, BODY_REQUEST},
        {"GET",    "/v1/sessions",                  handle_sessions_list,           ERRORS_PROBLEM, BODY_REQUEST},
        {"GET",    "/v1/sessions/{id}",             handle_session_get,             ERRORS_PROBLEM, BODY_REQUEST},
        {"DELETE", "/v1/sessions/{id}",             handle_session_delete,          ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/execute",     handle_session_execute,         ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/reset",       handle_session_reset,           ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/interrupt",   handle_session_interrupt,       ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/fork",        handle_session_fork,            ERRORS_PROBLEM, BODY_REQUEST},
        {"GET",    "/v1/sessions/{id}/notebook",    handle_session_notebook,        ERRORS_PROBLEM, BODY_REQUEST},
        {"GET",    "/v1/sessions/{id}/packages",    handle_session_packages_list,   ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/packages",    handle_session_packages_install, ERRORS_PROBLEM, BODY_REQUEST},
        {"GET",    "/v1/sessions/{id}/files",                  handle_session_files_list,      ERRORS_PROBLEM, BODY_REQUEST},
        {"POST",   "/v1/sessions/{id}/files",                  handle_session_files_post,      ERRORS_PROBLEM, BODY_FILES},
        {"GET",    "/v1/sessions/{id}/files/{path*}",          handle_session_file_get,        ERRORS_PROBLEM, BODY_REQUEST},
        {"PUT",    "/v1/sessions/{id}/files/{path*}",          handle_session_file_put,        ERRORS_PROBLEM, BODY_FILES},
        {"DELETE", "/v1/sessions/{id}/files/{path*}",          handle_session_file_delete,     ERRORS_PROBLEM, BODY_REQUEST},

        /* data-analysis sandbox */
        {"POST", "/api/execute",        handle_data_analysis_execute,   ERRORS_STATUS_OUTPUT, BODY_REQUEST},

        /* code-execution sandbox */
        {"POST", "/execute_code",       handle_sandbox_execute,         ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/upload_data/{key}",  handle_sandbox_upload,          ERRORS_DETAIL,        BODY_REQUEST},
        {"GET",  "/get_data/{key}",     handle_sandbox_get,             ERRORS_DETAIL,        BODY_REQUEST},
        {"GET",  "/clear_data",         handle_sandbox_clear,           ERRORS_DETAIL,        BODY_REQUEST},

        /* code interpreter with sessions, and Jupyter-like sessions */
        {"POST", "/execute",            handle_execute_by_key,          ERRORS_DETAIL,        BODY_REQUEST},

        {"POST", "/install",            handle_interpreter_install,     ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/upload",             handle_interpreter_upload,      ERRORS_DETAIL,        BODY_FILES},
        {"GET",  "/download",           handle_interpreter_download,    ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/terminate",          handle_interpreter_terminate,   ERRORS_DETAIL,        BODY_REQUEST},

        {"POST", "/start_session",      handle_jupyter_start,           ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/install_package",    handle_jupyter_install,         ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/reset",              handle_jupyter_reset,           ERRORS_DETAIL,        BODY_REQUEST},
        {"POST", "/end_session",        handle_jupyter_end,             ERRORS_DETAIL,        BODY_REQUEST},

        /* per-user container */
        {"POST", "/run",                handle_container_run,           ERRORS_ERROR,         BODY_REQUEST},
};
/* clang-format on */

/* Takes one byte off the front of a path as it was sent. An encoded slash separates nothing: it is
 * none of the table's. */
static bool take_literal(Slice *path, char wanted) {
        size_t size;

        if (path->size == 0 || percent_first(*path, &size) != (uint8_t) wanted ||
            (wanted == '/' && size > 1))
                return false;
        *path = slice_of(path->data + size, path->size - size);
        return true;
}

/* Takes what stands for one {…}: a component without a slash, encoded or not, that is neither "."
 * nor "..", which others resolve. */
static bool take_component(Slice *path, Slice *ret_component) {
        const uint8_t *start = path->data;
        size_t n = 0, n_dots = 0;

        while (path->size > 0 && path->data[0] != '/') {
                size_t size;
                int character = percent_first(*path, &size);

                if (character < 0 || character == '/')
                        return false;
                n++;
                n_dots += character == '.';
                *path = slice_of(path->data + size, path->size - size);
        }
        *ret_component = slice_of(start, (size_t) (path->data - start));
        return n > 2 || n > n_dots;
}

bool route_path_matches(const char *pattern, Slice path, Slice *ret_parameters) {
        size_t n = 0;

        memset(ret_parameters, 0, ROUTE_PARAMETERS_MAX * sizeof(*ret_parameters));
        for (; *pattern != '\0'; pattern++) {
                if (*pattern != '{') {
                        if (!take_literal(&path, *pattern))
                                return false;
                        continue;
                }
                assert(n < ROUTE_PARAMETERS_MAX);
                pattern = strchr(pattern, '}');
                if (pattern[-1] == '*') {
                        ret_parameters[n++] = path;
                        return path.size > 0;
                }
                if (!take_component(&path, &ret_parameters[n++]))
                        return false;
        }
        return path.size == 0;
}

static const Route *find(Slice method, Slice path, bool *ret_path_exists, Slice *ret_parameters) {
        *ret_path_exists = false;
        for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
                if (!route_path_matches(routes[i].path, path, ret_parameters))
                        continue;
                *ret_path_exists = true;
                if (slice_equals(method, routes[i].method) ||
                    (slice_equals(method, "HEAD") && strcmp(routes[i].method, "GET") == 0))
                        return &routes[i];
        }
        return NULL;
}

const Route *route_find(Slice method, Slice path, bool *ret_path_exists) {
        Slice parameters[ROUTE_PARAMETERS_MAX];

        return find(method, path, ret_path_exists, parameters);
}

/* Without scheme and authority where they stand before the path (RFC 9112, 3.2.2: every server must
 * accept that form). */
static Slice without_authority(Slice path) {
        static const char *const schemes[] = {"http://", "https://"};

        for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
                size_t size = strlen(schemes[i]);
                const uint8_t *slash;

                if (path.size < size || memcmp(path.data, schemes[i], size) != 0)
                        continue;
                slash = memchr(path.data + size, '/', path.size - size);
                return slash ? slice_of(slash, (size_t) (path.data + path.size - slash))
                             : SLICE_LITERAL("/");
        }
        return path;
}

/* The path as it was sent, without its query. */
static Slice request_path(h2o_req_t *req) {
        return without_authority(
                slice_of(req->input.path.base, req->input.query_at < req->input.path.len
                                                       ? req->input.query_at
                                                       : req->input.path.len));
}

/* Whether each % of a path is followed by two hexadecimal digits. */
static bool is_decodable(Slice path) {
        while (path.size > 0) {
                size_t size;

                if (percent_first(path, &size) < 0)
                        return false;
                path = slice_of(path.data + size, path.size - size);
        }
        return true;
}

const Route *route_of_target(Slice method, Slice target) {
        const uint8_t *query = memchr(target.data, '?', target.size);
        bool path_exists;
        Slice path;

        if (query)
                target.size = (size_t) (query - target.data);
        path = without_authority(target);
        return is_decodable(path) ? route_find(method, path, &path_exists) : NULL;
}

ErrorStyle route_errors(h2o_req_t *req) {
        const Route *route =
                route_of_target(slice_of(req->input.method.base, req->input.method.len),
                                slice_of(req->input.path.base, req->input.path.len));

        return route ? route->errors : ERRORS_PROBLEM;
}

static void decode_parameters(h2o_req_t *req, Slice *parameters) {
        for (size_t i = 0; i < ROUTE_PARAMETERS_MAX; i++) {
                Slice raw = parameters[i];
                uint8_t *decoded;
                size_t size;

                if (raw.size == 0 || !memchr(raw.data, '%', raw.size))
                        continue;
                decoded = h2o_mem_alloc_pool(&req->pool, raw.size);
                (void) percent_decode(raw, false, decoded, &size);
                parameters[i] = slice_of(decoded, size);
        }
}

static bool has_encoded_slash(Slice path) {
        for (size_t i = 0; i + 2 < path.size; i++) {
                if (path.data[i] == '%' && path.data[i + 1] == '2' &&
                    (path.data[i + 2] | 0x20) == 'f')
                        return true;
        }
        return false;
}

/* The methods of a path, for Allow; every one of the table when path is "*". */
static h2o_iovec_t allowed_methods(h2o_req_t *req, Slice path) {
        static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
        static const char *const said[] = {", GET, HEAD", ", POST", ", PUT", ", DELETE", ", PATCH"};
        h2o_iovec_t allowed = h2o_iovec_init(H2O_STRLIT("OPTIONS"));
        Slice parameters[ROUTE_PARAMETERS_MAX];

        for (size_t m = 0; m < N_ELEMENTS(methods); m++) {
                bool takes = false;

                for (size_t i = 0; i < N_ELEMENTS(routes) && !takes; i++)
                        takes = strcmp(routes[i].method, methods[m]) == 0 &&
                                (slice_equals(path, "*") ||
                                 route_path_matches(routes[i].path, path, parameters));
                if (takes)
                        allowed = h2o_concat(&req->pool, allowed,
                                             h2o_iovec_init(said[m], strlen(said[m])));
        }
        return allowed;
}

static void answer_without_route(h2o_req_t *req, Slice method, Slice path, bool path_exists) {
        bool is_server_wide = slice_equals(method, "OPTIONS") && slice_equals(path, "*");
        h2o_iovec_t allowed;

        if (!path_exists && !is_server_wide) {
                respond_error(
                        req, ERRORS_PROBLEM, (ErrorAnswer){.status = 404}, "%s",
                        has_encoded_slash(path)
                                ? "There is nothing at this path. An encoded slash (%2F) is "
                                  "no separator; it may only stand in the path of a file."
                                : "There is nothing at this path. GET / lists what there is.");
                return;
        }
        allowed = allowed_methods(req, path);
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, allowed.base,
                       allowed.len);
        if (slice_equals(method, "OPTIONS")) {
                req->res.status = 204;
                req->res.reason = "No Content";
                h2o_send_inline(req, "", 0);
                return;
        }
        respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 405},
                      "This path does not take the method; it takes %.*s.", (int) allowed.len,
                      allowed.base);
}

/* The rule for paths is one: component by component, percent-decoded, a path is exactly what the
 * table says. Nothing is normalised, so "//health", "/health/" and "/x/../health" are other paths,
 * and do not exist. An encoded slash parts no components: a proxy that filters by paths may take it
 * for a slash or for a character like others, and then let pass what we would read otherwise. */
void route_dispatch(App *app, h2o_req_t *req) {
        Slice method = slice_of(req->input.method.base, req->input.method.len);
        Slice path = request_path(req);
        RouteMatch match = {0};
        bool path_exists;
        const Route *route;

        if (!is_decodable(path)) {
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 400},
                              "In the path, a %% is not followed by two hexadecimal digits.");
                return;
        }
        route = find(method, path, &path_exists, match.parameters);
        if (!route) {
                answer_without_route(req, method, path, path_exists);
                return;
        }
        decode_parameters(req, match.parameters);
        match.errors = route->errors;
        request_note(req)->errors = route->errors;
        route->handler(app, req, &match);
}
