#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

#include "kit/error.h"
#include "kit/log.h"
#include "server/access.h"
#include "server/connection.h"
#include "server/framing.h"
#include "server/hangup_watcher.h"
#include "server/refuse.h"
#include "server/request.h"
#include "server/options.h"
#include "server/respond.h"
#include "server/route.h"
#include "server/tls.h"

#define WATCHES_MAX      4
#define ACCEPTS_A_TURN   16
#define ACCEPT_PAUSE_MS  100
#define END_TURNS_MAX    10
#define END_TURN_MS      10
#define HTTP1_TIMEOUT_MS (24ULL * 3600 * 1000)

typedef struct HttpHandler {
        h2o_handler_t super;
        Http *http;
} HttpHandler;

typedef struct Acceptor {
        Http *http;
        h2o_socket_t *sock; /* NULL once closed */
        bool is_tls;
} Acceptor;

typedef struct FdWatch {
        Http *http;
        h2o_socket_t *sock;
        void (*readable)(App *app);
} FdWatch;

struct Http {
        App *app;
        ListenerSet *listeners;
        h2o_globalconf_t config;
        h2o_context_t context;
        h2o_accept_ctx_t plain, tls; /* libh2o keeps pointers to them during a handshake */
        Intakes *intakes;
        ConnectionTable *connections;
        Refusals *refusals;
        Acceptor acceptors[LISTENERS_MAX];
        bool is_paused;
        h2o_timeout_t pause;
        h2o_timeout_entry_t resume;
        FdWatch watches[WATCHES_MAX];
        size_t n_watches;
};

/* ── Requests ── */

static int on_request(h2o_handler_t *handler, h2o_req_t *req) {
        Http *http = ((HttpHandler *) handler)->http;
        RequestNote *note = request_note(req);
        const char *problem, *refused;
        ErrorAnswer refusal = {0};
        bool closes = false;

        http->app->requests++;
        note->is_ours = true;
        note->connection = connection_of(http->connections, req);
        note->is_http2 = req->version >= 0x200;
        if (note->connection)
                note->stream_id = connection_request_began(note->connection, req);
        problem = framing_problem(req);
        if (problem) {
                /* Nobody can tell where the next request begins. */
                req->http1_is_persistent = 0;
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 400}, "%s", problem);
                return 0;
        }
        refused = note->connection && req->version < 0x200
                          ? intake_refusal(connection_intake(note->connection), &refusal, &closes)
                          : NULL;
        if (refused) {
                if (closes)
                        req->http1_is_persistent = 0;
                respond_error(req, route_errors(req), refusal, "%s", refused);
                return 0;
        }
        route_dispatch(http->app, req);
        return 0;
}

/* ── Accepting ── */

static void on_accept(h2o_socket_t *listening, const char *error);

static void resume_accepting(Http *http) {
        if (!http->is_paused)
                return;
        http->is_paused = false;
        h2o_timeout_unlink(&http->resume);
        for (size_t i = 0; i < http->listeners->n; i++) {
                if (http->acceptors[i].sock)
                        h2o_socket_read_start(http->acceptors[i].sock, on_accept);
        }
}

static void on_resume(h2o_timeout_entry_t *entry) {
        resume_accepting(H2O_STRUCT_FROM_MEMBER(Http, resume, entry));
}

/* A connection has ended, and with it a descriptor has come free. */
static void on_closed(void *data) {
        resume_accepting(data);
}

/* accept(2) goes on failing while descriptors or memory are short, and the listener stays readable:
 * wait a little, or for the end of a connection. */
static void pause_accepting(Http *http, int error) {
        log_warning("cannot accept connections: %s connections=%u", strerror(error),
                    http->app->connections);
        http->is_paused = true;
        for (size_t i = 0; i < http->listeners->n; i++) {
                if (http->acceptors[i].sock)
                        h2o_socket_read_stop(http->acceptors[i].sock);
        }
        h2o_timeout_link(http->context.loop, &http->pause, &http->resume);
}

static void take_connection(Acceptor *acceptor, h2o_socket_t *sock) {
        Http *http = acceptor->http;
        h2o_accept_ctx_t *accept = acceptor->is_tls ? &http->tls : &http->plain;
        Connection *connection;

        if (http->app->connections >= http->app->options->connections_max) {
                refuse_connection(http->refusals, sock, acceptor->is_tls);
                return;
        }
        connection = connection_add(http->connections, sock, accept);
        if (connection)
                connection_accept(connection);
        else
                h2o_socket_close(sock);
}

static void on_accept(h2o_socket_t *listening, const char *error) {
        Acceptor *acceptor = listening->data;

        if (error)
                return;
        for (int i = 0; i < ACCEPTS_A_TURN; i++) {
                h2o_socket_t *sock = h2o_evloop_socket_accept(listening);

                if (sock)
                        take_connection(acceptor, sock);
                else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        return pause_accepting(acceptor->http, errno);
                else if (errno == EAGAIN)
                        return;
        }
}

/* ── Life ── */

/* Timers of libh2o stand behind those of connection.c. */
static void configure(Http *http) {
        const Options *options = http->app->options;
        h2o_globalconf_t *config = &http->config;
        h2o_hostconf_t *host;
        HttpHandler *handler;

        h2o_config_init(config);
        config->server_name = h2o_iovec_init(H2O_STRLIT("hatchery"));
        config->max_request_entity_size = options->request_bytes_max;
        /* connection.c sees all that HTTP/1 waits for, and lets a large body take its time. */
        config->http1.req_timeout = HTTP1_TIMEOUT_MS;
        config->http2.idle_timeout = options->idle_timeout_ms;
        /* libh2o would put larger bodies into files under /tmp; see intake.h. */
        h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
        host = h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
        /* Errors that libh2o finds before it has a path go to the fallback; so does everything,
         * that there be one place. */
        handler = (HttpHandler *) h2o_create_handler(&host->fallback_path, sizeof(*handler));
        handler->super.on_req = on_request;
        handler->http = http;
        access_register(&host->fallback_path, http->app);
        host->fallback_path.error_log.emit_request_errors = 0;
}

static void accept_on(Http *http, size_t i) {
        Listener *listener = &http->listeners->of[i];
        Acceptor *acceptor = &http->acceptors[i];

        *acceptor = (Acceptor){
                .http = http,
                .is_tls = http->tls.ssl_ctx && !listener->unix_path,
                .sock = h2o_evloop_socket_create(http->context.loop, take_fd(listener->fd),
                                                 H2O_SOCKET_FLAG_DONT_READ),
        };
        acceptor->sock->data = acceptor;
        h2o_socket_read_start(acceptor->sock, on_accept);
}

int http_new(App *app, ListenerSet *listeners, Http **ret_http) {
        const Options *options = app->options;
        SSL_CTX *tls = NULL;
        Http *http;
        int r;

        if (options->tls_certificate) {
                r = tls_context_new(options->tls_certificate, options->tls_key, &tls);
                if (r < 0)
                        return r;
        }
        http = calloc(1, sizeof(*http));
        if (!http)
                return raise_error(-ENOMEM, "make the event loop");
        http->app = app;
        http->listeners = listeners;
        configure(http);
        h2o_context_init(&http->context, h2o_evloop_create(), &http->config);
        http->plain = (h2o_accept_ctx_t){.ctx = &http->context, .hosts = http->config.hosts};
        http->tls = http->plain;
        http->tls.ssl_ctx = tls;
        h2o_timeout_init(http->context.loop, &http->pause, ACCEPT_PAUSE_MS);
        http->resume.cb = on_resume;
        http->intakes = intakes_new(app, &http->context);
        http->connections = connection_table_new(http->context.loop, options, http->intakes,
                                                 &app->connections, on_closed, http);
        http->refusals = refusals_new(http->context.loop);
        app->hangups = hangup_watcher_new(http->context.loop);
        if (!http->intakes || !http->connections || !http->refusals || !app->hangups)
                return raise_error(-ENOMEM, "make the event loop");
        for (size_t i = 0; i < listeners->n; i++)
                accept_on(http, i);
        *ret_http = http;
        return 0;
}

h2o_loop_t *http_loop(const Http *http) {
        return http->context.loop;
}

static void on_readable(h2o_socket_t *sock, const char *error) {
        FdWatch *watch = sock->data;

        (void) error;
        watch->readable(watch->http->app);
}

int http_watch_fd(Http *http, int fd, void (*readable)(App *app)) {
        FdWatch *watch = &http->watches[http->n_watches];
        int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        assert(http->n_watches < WATCHES_MAX);
        if (duplicate < 0)
                return raise_errno("duplicate a descriptor");
        watch->http = http;
        watch->readable = readable;
        watch->sock =
                h2o_evloop_socket_create(http->context.loop, duplicate, H2O_SOCKET_FLAG_DONT_READ);
        watch->sock->data = watch;
        h2o_socket_read_start(watch->sock, on_readable);
        http->n_watches++;
        return 0;
}

int http_turn(Http *http, int wait_ms) {
        if (h2o_evloop_run(http->context.loop, wait_ms) < 0 && errno != EINTR)
                return raise_errno("run the event loop");
        connection_table_turned(http->connections);
        return 0;
}

static void close_listeners(Http *http) {
        for (size_t i = 0; i < http->listeners->n; i++) {
                if (http->acceptors[i].sock)
                        h2o_socket_close(http->acceptors[i].sock);
                http->acceptors[i].sock = NULL;
        }
        listener_set_close(http->listeners);
}

void http_drain(Http *http) {
        close_listeners(http);
        h2o_context_request_shutdown(&http->context);
        connection_table_drain(http->connections);
}

void http_close(Http *http) {
        close_listeners(http);
        connection_table_shut_down(http->connections);
        for (int turns = 0; http->app->connections > 0 && turns < END_TURNS_MAX; turns++) {
                if (http_turn(http, END_TURN_MS) < 0)
                        break;
        }
        http->app->is_closed = true;
        /* A connection that is still open has a request with a handler, and libh2o has no way to
         * take it from there. The process ends next. */
        if (http->app->connections > 0)
                return;
        for (size_t i = 0; i < http->n_watches; i++)
                h2o_socket_close(http->watches[i].sock);
        http->refusals = refusals_free(http->refusals);
        http->connections = connection_table_free(http->connections);
        http->intakes = intakes_free(http->intakes);
        http->app->hangups = hangup_watcher_free(http->app->hangups);
        SSL_CTX_free(http->tls.ssl_ctx);
        http->tls.ssl_ctx = NULL;
}
