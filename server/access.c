#include "server/access.h"

#include "kit/clock.h"
#include "kit/log.h"
#include "server/request.h"
#include "server/options.h"
#include "server/respond.h"

/* In the log. */
#define METHOD_SHOWN_MAX 32
#define PATH_SHOWN_MAX   512

typedef struct AccessFilter {
        h2o_filter_t super;
        App *app;
} AccessFilter;

typedef struct AccessLogger {
        h2o_logger_t super;
        App *app;
} AccessLogger;

/* Replaces the body of an answer. */
typedef struct ErrorStream {
        h2o_ostream_t super;
        h2o_iovec_t body;
} ErrorStream;

static void send_error_body(h2o_ostream_t *stream, h2o_req_t *req, h2o_iovec_t *bytes,
                            size_t n_bytes, h2o_send_state_t state) {
        ErrorStream *self = (ErrorStream *) stream;

        /* libh2o sends a short text in one piece, and nothing at all for HEAD. */
        h2o_ostream_send_next(&self->super, req, &self->body, n_bytes > 0 ? 1 : 0, state);
}

/* What libh2o answers by itself, for instance 413 to a length that is too large, is text/plain. */
static const char *detail_of(int status) {
        switch (status) {
        case 413:
                return "The body of the request is larger than this server takes. GET "
                       "/v1/capabilities says how large it may be.";
        case 417:
                return "The only expectation that this server meets is 100-continue.";
        default:
                return "The request is not well-formed HTTP.";
        }
}

static void replace_error(h2o_req_t *req, h2o_ostream_t **slot) {
        Buffer document = BUFFER_INIT(0);
        ErrorAnswer answer = {.status = req->res.status};
        ErrorStream *stream;

        if (respond_error_document(&document, ERRORS_PROBLEM, answer, detail_of(answer.status)) <
            0) {
                buffer_done(&document);
                return;
        }
        stream = (ErrorStream *) h2o_add_ostream(req, sizeof(*stream), slot);
        stream->super.do_send = send_error_body;
        stream->body = h2o_strdup(&req->pool, (const char *) document.data, document.size);
        buffer_done(&document);
        req->res.content_length = stream->body.len;
        h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                       H2O_STRLIT("application/problem+json"), 1);
}

static void on_answer(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot) {
        RequestNote *note = request_note(req);

        /* libh2o itself looks only when a request begins. */
        if (((AccessFilter *) filter)->app->draining)
                req->http1_is_persistent = 0;
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-request-id"), 0, NULL,
                              note->id, strlen(note->id));
        /* Whoever relies on runs being kept in shall not have to ask. */
        if (((AccessFilter *) filter)->app->isolation.mode == ISOLATION_OFF)
                h2o_add_header_by_str(&req->pool, &req->res.headers,
                                      H2O_STRLIT("x-hatchery-isolation"), 0, NULL,
                                      H2O_STRLIT("off"));
        if (!note->is_ours && req->res.status >= 400)
                replace_error(req, slot);
        h2o_setup_next_ostream(req, slot);
}

/* Over HTTP/2 there may be spaces in a method or path, each of which would begin a field of the
 * line that the client has thought out. */
static void as_one_word(const char *text, size_t size, char *out) {
        for (size_t i = 0; i < size; i++) {
                if (text[i] == ' ')
                        out = stpcpy(out, "%20");
                else
                        *out++ = text[i];
        }
        *out = '\0';
}

static void log_request(h2o_logger_t *logger, h2o_req_t *req) {
        const App *app = ((AccessLogger *) logger)->app;
        const RequestNote *note = request_note(req);
        uint64_t duration_us = (clock_now_ns() - note->start_ns) / NS_PER_US;
        struct sockaddr_storage address;
        socklen_t size =
                req->conn->callbacks->get_peername(req->conn, (struct sockaddr *) &address);
        char host[NI_MAXHOST];
        size_t method_size =
                req->input.method.len < METHOD_SHOWN_MAX ? req->input.method.len : METHOD_SHOWN_MAX;
        size_t path_size = req->input.query_at < req->input.path.len ? req->input.query_at
                                                                     : req->input.path.len;
        char method[3 * METHOD_SHOWN_MAX + 1], path[3 * PATH_SHOWN_MAX + 1];

        if (!app->options->access_log)
                return;
        (void) snprintf(host, sizeof(host), "%s", size > 0 ? "unix" : "-");
        if (size > 0 && address.ss_family != AF_UNIX) {
                size_t host_size =
                        h2o_socket_getnumerichost((struct sockaddr *) &address, size, host);

                host[host_size < sizeof(host) ? host_size : 0] = '\0';
        }
        as_one_word(req->input.method.base, method_size, method);
        as_one_word(req->input.path.base, path_size < PATH_SHOWN_MAX ? path_size : PATH_SHOWN_MAX,
                    path);
        log_info("request method=%s path=%s status=%d bytes=%zu duration_us=%llu id=%s "
                 "remote=%s",
                 method, path, req->res.status, req->bytes_sent, (unsigned long long) duration_us,
                 note->id, host);
}

void access_register(h2o_pathconf_t *paths, App *app) {
        AccessFilter *filter = (AccessFilter *) h2o_create_filter(paths, sizeof(*filter));
        AccessLogger *logger = (AccessLogger *) h2o_create_logger(paths, sizeof(*logger));

        filter->app = app;
        filter->super.on_setup_ostream = on_answer;
        logger->app = app;
        logger->super.log_access = log_request;
}
