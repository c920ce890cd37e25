#include "server/route.h"

#include "server/api/api.h"
#include "server/request.h"
#include "server/respond.h"

/* clang-format off */
static const Route routes[] = {
        {"GET",  "/",                   handle_root,                    ERRORS_PROBLEM},
        {"GET",  "/health",             handle_health,                  ERRORS_PROBLEM},
        {"GET",  "/ready",              handle_ready,                   ERRORS_PROBLEM},

        {"POST", "/v1/execute",         handle_execute,                 ERRORS_PROBLEM},
        {"POST", "/v1/batch",           handle_batch,                   ERRORS_PROBLEM},
        {"GET",  "/v1/templates",       handle_templates,               ERRORS_PROBLEM},
        {"GET",  "/v1/capabilities",    handle_capabilities,            ERRORS_PROBLEM},

        /* data-analysis sandbox */
        {"POST", "/api/execute",        handle_data_analysis_execute,   ERRORS_STATUS_OUTPUT},

        /* code-execution sandbox */
        {"POST", "/execute_code",       handle_sandbox_execute,         ERRORS_DETAIL},
        {"POST", "/upload_data/{key}",  handle_sandbox_upload,          ERRORS_DETAIL},
        {"GET",  "/get_data/{key}",     handle_sandbox_get,             ERRORS_DETAIL},
        {"GET",  "/clear_data",         handle_sandbox_clear,           ERRORS_DETAIL},
};
/* clang-format on */

/* Whether path is what the pattern says; {…} stands for one component that is not empty. */
static bool pattern_matches(const char *pattern, Slice path, Slice *ret_parameter) {
        const uint8_t *at = path.data;
        const uint8_t *end = path.data + path.size;

        *ret_parameter = SLICE_NULL;
        for (; *pattern != '\0'; pattern++) {
                const uint8_t *start = at;

                if (*pattern != '{') {
                        if (at == end || *at++ != (uint8_t) *pattern)
                                return false;
                        continue;
                }
                while (at < end && *at != '/')
                        at++;
                if (at == start)
                        return false;
                *ret_parameter = slice_of(start, (size_t) (at - start));
                pattern = strchr(pattern, '}');
        }
        return at == end;
}

static const Route *find(Slice method, Slice path, bool *ret_path_exists, Slice *ret_parameter) {
        *ret_path_exists = false;
        for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
                if (!pattern_matches(routes[i].path, path, ret_parameter))
                        continue;
                *ret_path_exists = true;
                if (slice_equals(method, routes[i].method) ||
                    (slice_equals(method, "HEAD") && strcmp(routes[i].method, "GET") == 0))
                        return &routes[i];
        }
        return NULL;
}

const Route *route_find(Slice method, Slice path, bool *ret_path_exists) {
        Slice parameter;

        return find(method, path, ret_path_exists, &parameter);
}

static int hex_digit(uint8_t character) {
        if (character >= '0' && character <= '9')
                return character - '0';
        if (character >= 'a' && character <= 'f')
                return character - 'a' + 10;
        if (character >= 'A' && character <= 'F')
                return character - 'A' + 10;
        return -1;
}

/* Decodes %xx into the request's pool. Returns false when a % is not followed by two hexadecimal
 * digits. */
static bool percent_decode(h2o_req_t *req, Slice text, Slice *ret_text) {
        uint8_t *decoded;
        size_t size = 0;

        *ret_text = text;
        if (text.size == 0 || !memchr(text.data, '%', text.size))
                return true;
        decoded = h2o_mem_alloc_pool(&req->pool, text.size);
        for (size_t i = 0; i < text.size; i++) {
                int high, low;

                if (text.data[i] != '%') {
                        decoded[size++] = text.data[i];
                        continue;
                }
                high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
                low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
                if (high < 0 || low < 0)
                        return false;
                decoded[size++] = (uint8_t) (high << 4 | low);
                i += 2;
        }
        *ret_text = slice_of(decoded, size);
        return true;
}

/* The path as it was sent, without its query, and without scheme and authority where they stand
 * before it (RFC 9112, 3.2.2: every server must accept that form). */
static Slice request_path(h2o_req_t *req) {
        Slice path = slice_of(req->input.path.base, req->input.query_at < req->input.path.len
                                                            ? req->input.query_at
                                                            : req->input.path.len);
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

/* The methods of a path, for Allow; every one of the table when path is "*". */
static h2o_iovec_t allowed_methods(h2o_req_t *req, Slice path) {
        bool get = slice_equals(path, "*"), post = get;
        Slice parameter;

        for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
                if (!pattern_matches(routes[i].path, path, &parameter))
                        continue;
                get = get || strcmp(routes[i].method, "GET") == 0;
                post = post || strcmp(routes[i].method, "POST") == 0;
        }
        return h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("OPTIONS")),
                          get ? h2o_iovec_init(H2O_STRLIT(", GET, HEAD")) : h2o_iovec_init(NULL, 0),
                          post ? h2o_iovec_init(H2O_STRLIT(", POST")) : h2o_iovec_init(NULL, 0));
}

static void answer_without_route(h2o_req_t *req, Slice method, Slice path, bool path_exists) {
        bool is_server_wide = slice_equals(method, "OPTIONS") && slice_equals(path, "*");
        h2o_iovec_t allowed;

        if (!path_exists && !is_server_wide) {
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 404},
                              "There is nothing at this path. GET / lists what there is.");
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

/* The rule for paths is one: the path, percent-decoded, is exactly what the table says. Nothing is
 * normalised, so
 * "//health", "/health/" and "/x/../health" are other paths, and do not exist. */
void route_dispatch(App *app, h2o_req_t *req) {
        Slice method = slice_of(req->input.method.base, req->input.method.len);
        RouteMatch match = {0};
        bool path_exists;
        const Route *route;
        Slice path;

        if (!percent_decode(req, request_path(req), &path)) {
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 400},
                              "In the path, a %% is not followed by two hexadecimal digits.");
                return;
        }
        route = find(method, path, &path_exists, &match.parameter);
        if (!route) {
                answer_without_route(req, method, path, path_exists);
                return;
        }
        match.errors = route->errors;
        request_note(req)->errors = route->errors;
        route->handler(app, req, &match);
}
