#include "server/serve.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "server/app.h"
#include "server/http.h"
#include "server/signals.h"
#include "server/store.h"

/* Descriptors that neither a connection nor a worker takes: files, listeners, the loop, zygotes,
 * spare. */
#define DESCRIPTORS_OF_OWN     96
#define DESCRIPTORS_A_WORKER   9 /* four pipes, pidfd, status; three folders */
#define TURN_MS                1000
#define TURN_MS_WHILE_DRAINING 20

typedef struct Server {
        App app; /* first: callbacks of the loop are given its address */
        Http *http;
        ListenerSet listeners;
        uint64_t drain_deadline_ns; /* 0: not draining */
        int exit_status;            /* -1: goes on */
} Server;

/* ── Before anything is served ── */

static int start_failed(const char *what, int error) {
        (void) fprintf(stderr, "hatchery: %s: %s\n", what, strerror(-error));
        return error;
}

static int raise_descriptor_limit(const Options *options) {
        struct rlimit limit;
        rlim_t needed = options->connections_max + DESCRIPTORS_OF_OWN;

        for (size_t i = 0; i < options->n_templates; i++)
                needed += options->templates[i].workers * DESCRIPTORS_A_WORKER;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return start_failed("getrlimit", -errno);
        if (limit.rlim_max < needed) {
                (void) fprintf(stderr,
                               "hatchery: %llu descriptors are needed for this many connections "
                               "and workers, but only "
                               "%llu are allowed (ulimit -Hn); raise that, or lower --connections "
                               "or --workers\n",
                               (unsigned long long) needed, (unsigned long long) limit.rlim_max);
                return -EMFILE;
        }
        limit.rlim_cur = limit.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? start_failed("setrlimit", -errno) : 0;
}

/* Workers that run as other users reach their folders by name, so every folder on the way has to
 * let them pass. */
static int check_passable(const char *path) {
        char part[PATH_MAX];
        size_t size = strlen(path);
        struct stat status;

        if (size >= sizeof(part))
                return start_failed("--work-directory", -ENAMETOOLONG);
        for (size_t end = 1; end <= size; end++) {
                if (path[end] != '/' && path[end] != '\0')
                        continue;
                memcpy(part, path, end);
                part[end] = '\0';
                if (stat(part, &status) == 0 && S_ISDIR(status.st_mode) &&
                    (status.st_mode & S_IXOTH))
                        continue;
                (void) fprintf(
                        stderr,
                        "hatchery: --work-directory %s: workers run as users of their own and "
                        "may not pass through %s; chmod o+x that folder, or choose another\n",
                        path, part);
                return -EACCES;
        }
        return 0;
}

static int make_work_directory(const Options *options) {
        const char *path = options->work_directory;

        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
                (void) fprintf(stderr, "hatchery: --work-directory %s: cannot be made: %s\n", path,
                               strerror(errno));
                return -EINVAL;
        }
        return geteuid() == 0 && options->worker_uid_base != 0 ? check_passable(path) : 0;
}

static int make_pool(Server *server) {
        const Options *options = server->app.options;
        const PoolConfig config = {
                .python_program = options->python_program,
                .work_directory = options->work_directory,
                .templates = options->templates,
                .n_templates = options->n_templates,
                .queue_max = options->queue_max,
                .queue_wait_ms = options->queue_wait_ms,
                .value_bytes_max = options->value_bytes_max,
                .collect_bytes_max = options->collect_bytes_max,
                .collect_files_max = options->collect_files_max,
                .worker_uid_base = options->worker_uid_base,
                .start_timeout_ms = options->start_timeout_ms,
                .zygote_max_age_ms = options->zygote_max_age_ms,
                .log_level = options->log_level,
        };
        int r;

        if (access(options->python_program, X_OK) < 0) {
                (void) fprintf(stderr, "hatchery: --python-program %s: %s\n",
                               options->python_program, strerror(errno));
                return -EINVAL;
        }
        r = make_work_directory(options);
        if (r < 0)
                return r;
        r = pool_new(&config, &server->app.pool);
        return r < 0 ? start_failed("the pool of workers cannot be started", r) : 0;
}

/* ── Running ── */

static void on_pool_readable(App *app) {
        Server *server = (Server *) app;

        if (pool_dispatch(app->pool) < 0)
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

/* In one line: of "what: traceback", what and the traceback's last line. The log has all of it. */
static void complain_about_template(const char *name, const char *failure) {
        const char *last_line = strrchr(failure, '\n');

        if (last_line)
                (void) fprintf(stderr, "hatchery: template %s cannot start: %.*s: %s\n", name,
                               (int) strcspn(failure, ":"), failure, last_line + 1);
        else
                (void) fprintf(stderr, "hatchery: template %s cannot start: %s\n", name, failure);
}

/* A template that fails at the first attempt will not get better by itself: a module is missing,
 * say. */
static void look_whether_ready(Server *server) {
        App *app = &server->app;
        uint64_t patience_ns = 2 * app->options->start_timeout_ms * NS_PER_MS;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                if (!state.failure)
                        continue;
                complain_about_template(app->options->templates[i].name, state.failure);
                server->exit_status = 1;
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

static int start(Server *server) {
        App *app = &server->app;
        const Options *options = app->options;
        int signal_fd, r;

        r = raise_descriptor_limit(options);
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
        r = make_pool(server);
        if (r == 0)
                r = http_new(app, &server->listeners, &server->http);
        if (r == 0)
                r = http_watch_fd(server->http, signal_fd, on_signal);
        if (r == 0)
                r = http_watch_fd(server->http, pool_fd(app->pool), on_pool_readable);
        return r;
}

int serve(const Options *options) {
        /* Static, so that what libh2o keeps stays reachable to the end, and a leak is a leak. */
        static Server server;

        server = (Server){
                .app = {.options = options, .start_ns = clock_now_ns()},
                .exit_status = -1,
        };
        if (start(&server) < 0)
                server.exit_status = 1;
        else
                run(&server);
        /* Requests first: one that ends cancels its run. */
        if (server.http)
                http_close(server.http);
        server.app.pool = pool_free(server.app.pool);
        server.app.store = store_free(server.app.store);
        listener_set_close(&server.listeners);
        log_info("ended status=%d", server.exit_status);
        return server.exit_status;
}
