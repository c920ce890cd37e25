#include "server/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "server/app.h"
#include "server/http.h"
#include "server/notebook.h"
#include "server/signals.h"
#include "server/start.h"
#include "server/store.h"

#define TURN_MS                1000
#define TURN_MS_WHILE_DRAINING 20

typedef struct Server {
        App app; /* first: callbacks of the loop are given its address */
        Http *http;
        ListenerSet listeners;
        uint64_t drain_deadline_ns; /* 0: not draining */
        int exit_status;            /* -1: goes on */
} Server;

/* ── Running ── */

static void on_pool_readable(App *app) {
        Server *server = (Server *) app;

        if (pool_dispatch(app->pool) < 0)
                server->exit_status = 1;
}

static void on_installer_readable(App *app) {
        Server *server = (Server *) app;

        if (installer_dispatch(app->installer) < 0)
                server->exit_status = 1;
}

static void begin_drain(Server *server) {
        App *app = &server->app;

        log_info("draining timeout_ms=%llu connections=%u",
                 (unsigned long long) app->options->drain_timeout_ms, app->connections);
        app->draining = true;
        server->drain_deadline_ns = clock_now_ns() + app->options->drain_timeout_ms * NS_PER_MS;
        pool_drain(app->pool);
        http_drain(server->http);
}

static void on_signal(App *app) {
        Server *server = (Server *) app;
        int signal_number;

        while ((signal_number = signals_next()) != 0) {
                if (signal_number == SIGHUP && !app->draining) {
                        log_info("reloading");
                        pool_reload(app->pool);
                } else if (signal_number != SIGHUP && !app->draining) {
                        begin_drain(server);
                } else if (signal_number != SIGHUP) {
                        log_warning("ended by a second signal");
                        server->exit_status = 1;
                }
        }
}

static void announce(Server *server) {
        const ListenerSet *listeners = &server->listeners;
        bool is_tls = server->app.options->tls_certificate != NULL;

        (void) printf("hatchery ready on");
        for (size_t i = 0; i < listeners->n; i++)
                (void) printf("%s %s%s", i > 0 ? "," : "",
                              listeners->of[i].unix_path ? ""
                              : is_tls                   ? "https://"
                                                         : "http://",
                              listeners->of[i].address);
        (void) printf("\n");
        (void) fflush(stdout);
        server->app.was_ready = true;
}

static void look_whether_ready(Server *server) {
        App *app = &server->app;
        uint64_t patience_ns = 2 * app->options->start_timeout_ms * NS_PER_MS;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;
                int status;

                pool_template_state(app->pool, i, &state);
                status = start_complain_about_template(app->options->templates[i].name, &state);
                if (status == 0)
                        continue;
                server->exit_status = status;
                return;
        }
        if (pool_is_ready(app->pool)) {
                announce(server);
        } else if (clock_now_ns() - app->start_ns > patience_ns) {
                (void) fprintf(
                        stderr,
                        "hatchery: no worker is ready %llu s after the start; the log says more\n",
                        (unsigned long long) (patience_ns / NS_PER_S));
                server->exit_status = 1;
        }
}

/* Finished when the last answer has left: a connection without a request has been closed before. */
static void look_whether_drained(Server *server) {
        const App *app = &server->app;

        if (app->connections == 0 && pool_is_idle(app->pool)) {
                server->exit_status = 0;
        } else if (clock_now_ns() >= server->drain_deadline_ns) {
                log_warning("cut off after the drain timeout connections=%u", app->connections);
                server->exit_status = 1;
        }
}

static void run(Server *server) {
        while (server->exit_status < 0) {
                int wait_ms = server->app.draining ? TURN_MS_WHILE_DRAINING : TURN_MS;

                if (http_turn(server->http, wait_ms) < 0)
                        server->exit_status = 1;
                else if (server->app.draining && server->exit_status < 0)
                        look_whether_drained(server);
                else if (!server->app.was_ready && server->exit_status < 0)
                        look_whether_ready(server);
        }
}

/* For the canary to knock at. A listener on a unix socket only has none. */
static uint16_t probe_port(const ListenerSet *listeners) {
        for (size_t i = 0; i < listeners->n; i++) {
                uint16_t port = listener_loopback_port(&listeners->of[i]);

                if (port != 0)
                        return port;
        }
        return 0;
}

static int start(Server *server) {
        App *app = &server->app;
        const Options *options = app->options;
        unsigned sessions_max;
        int signal_fd, r;

        r = start_descriptors(options, &sessions_max);
        if (r == 0)
                r = listener_set_open(options->listen, &server->listeners);
        if (r < 0)
                return r;
        r = store_open(options->state_directory, options->upload_keys_max,
                       options->upload_bytes_max, &app->store);
        if (r < 0)
                return start_failed(options->state_directory, r);
        signal_fd = signals_open();
        if (signal_fd < 0)
                return signal_fd;
        r = start_pool(options, options->templates, &app->isolation, probe_port(&server->listeners),
                       sessions_max, &app->pool);
        if (r == 0)
                r = notebooks_new(
                        &(NotebookConfig){.pool = app->pool,
                                          .bytes_max = options->sessions.notebook_bytes_max,
                                          .directory = options->sessions.notebooks_directory},
                        &app->notebooks);
        if (r == 0)
                r = http_new(app, &server->listeners, &server->http);
        if (r == 0)
                r = http_watch_fd(server->http, signal_fd, on_signal);
        if (r == 0)
                r = http_watch_fd(server->http, pool_fd(app->pool), on_pool_readable);
        if (r == 0 && sessions_max > 0)
                r = start_installer(options, &app->isolation, app->pool, &app->installer);
        if (r == 0 && app->installer)
                r = http_watch_fd(server->http, installer_fd(app->installer),
                                  on_installer_readable);
        return r;
}

int serve(const Options *options) {
        /* Static, so that what libh2o keeps stays reachable to the end, and a leak is a leak. */
        static Server server;
        int r;

        server = (Server){
                .app = {.options = options, .start_ns = clock_now_ns()},
                .exit_status = -1,
        };
        r = start_isolation(options, &server.app.isolation);
        if (r != 0)
                return r;
        start_log_isolation(&server.app.isolation);
        if (start(&server) < 0)
                server.exit_status = 1;
        else
                run(&server);
        /* Requests first: one that ends cancels its run. */
        if (server.http)
                http_close(server.http);
        server.app.installer = installer_free(server.app.installer);
        server.app.pool = pool_free(server.app.pool);
        server.app.notebooks = notebooks_free(server.app.notebooks);
        server.app.store = store_free(server.app.store);
        listener_set_close(&server.listeners);
        log_info("ended status=%d", server.exit_status);
        return server.exit_status;
}
