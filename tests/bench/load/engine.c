#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "arrivals.h"
#include "engine.h"
#include "kit/clock.h"
#include "kit/error.h"
#include "response.h"

/* After the measured time, so long for the answers that are under way. */
#define GRACE_NS (20 * NS_PER_S)
/* More broken connections than this, and there is nothing left to measure. */
#define BROKEN_MAX 1000

typedef struct Connection {
        int fd;
        bool busy;
        uint64_t due_ns; /* busy: when the request was to leave; else: when the connection may be
                            used again */
        size_t sent;     /* bytes of the request */
        Response response;
} Connection;

typedef struct Engine {
        const Plan *plan;
        Report *report;
        int epoll_fd;
        Connection connections[CONNECTIONS_MAX];
        unsigned busy;
        Arrivals arrivals;
        uint64_t measure_from_ns, end_ns;
} Engine;

static int watch(Engine *engine, Connection *connection, int operation, uint32_t events) {
        struct epoll_event event = {.events = events, .data.ptr = connection};

        if (epoll_ctl(engine->epoll_fd, operation, connection->fd, &event) < 0)
                return raise_errno("epoll_ctl");
        return 0;
}

static int connection_open(Engine *engine, Connection *connection) {
        const struct sockaddr_in *address = &engine->plan->address;
        int on = 1;

        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection->fd < 0)
                return raise_errno("socket");
        if (connect(connection->fd, (const struct sockaddr *) address, sizeof(*address)) < 0)
                return raise_errno("connect to port %d", ntohs(address->sin_port));
        if (setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                return raise_errno("TCP_NODELAY");
        return watch(engine, connection, EPOLL_CTL_ADD, EPOLLIN);
}

static int connection_reopen(Engine *engine, Connection *connection) {
        if (connection->busy) {
                connection->busy = false;
                engine->busy--;
        }
        close_fd(&connection->fd);
        response_reset(&connection->response);
        return connection_open(engine, connection);
}

/* An answer was due and will not come. */
static int connection_broke(Engine *engine, Connection *connection) {
        if (++engine->report->broken > BROKEN_MAX)
                return raise_error(-ECONNRESET, "more than %d connections broke", BROKEN_MAX);
        return connection_reopen(engine, connection);
}

/* Requests are small: nearly always one send() takes all of it. */
static int connection_send(Engine *engine, Connection *connection) {
        const Buffer *request = &engine->plan->request;
        ssize_t n = send(connection->fd, request->data + connection->sent,
                         request->size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
                return connection_broke(engine, connection);
        connection->sent += n < 0 ? 0 : (size_t) n;
        return watch(engine, connection, EPOLL_CTL_MOD,
                     connection->sent < request->size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int connection_start(Engine *engine, Connection *connection, uint64_t due_ns) {
        const Buffer *request = &engine->plan->request;
        ssize_t n;

        connection->busy = true;
        connection->due_ns = due_ns;
        engine->busy++;
        n = send(connection->fd, request->data, request->size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == (ssize_t) request->size) {
                connection->sent = request->size;
                return 0;
        }
        if (n < 0 && errno != EAGAIN)
                return connection_broke(engine, connection);
        connection->sent = n < 0 ? 0 : (size_t) n;
        return watch(engine, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static bool is_as_expected(const Plan *plan, const Response *response) {
        Slice body = response_body(response);

        if (response->status != plan->status)
                return false;
        for (size_t i = 0; i < plan->n_expectations; i++) {
                const Buffer *expected = &plan->expectations[i];

                if (memmem(body.data, body.size, expected->data, expected->size) == NULL)
                        return false;
        }
        return true;
}

static int finish_answer(Engine *engine, Connection *connection, uint64_t now) {
        Report *report = engine->report;
        Response *response = &connection->response;

        report->requests++;
        report->bytes += response->received.size;
        if (!is_as_expected(engine->plan, response) && report->wrong++ == 0 &&
            engine->plan->verbose)
                (void) fprintf(stderr, "wrong: %.*s\n", (int) response->received.size,
                               (const char *) response->received.data);
        if (connection->due_ns >= engine->measure_from_ns && connection->due_ns < engine->end_ns) {
                histogram_add(&report->latency, now - connection->due_ns);
                report->last_ns = now;
        }
        connection->busy = false;
        connection->due_ns = now + engine->plan->rest_ns;
        engine->busy--;
        if (response->closes)
                return connection_reopen(engine, connection);
        response_reset(response);
        return 0;
}

static int connection_receive(Engine *engine, Connection *connection) {
        Buffer *received = &connection->response.received;
        ssize_t n;
        int r;

        r = buffer_reserve(received, 65536);
        if (r < 0)
                return raise_error(r, "an answer is too large");
        n = recv(connection->fd, received->data + received->size,
                 received->capacity - received->size, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return 0;
        /* A server may close a connection that rests; that is no failure. */
        if (n <= 0)
                return connection->busy ? connection_broke(engine, connection)
                                        : connection_reopen(engine, connection);
        received->size += (size_t) n;
        if (!connection->busy)
                return connection_broke(engine, connection);
        r = response_advance(&connection->response);
        if (r < 0)
                return connection_broke(engine, connection);
        return r == RESPONSE_COMPLETE ? finish_answer(engine, connection, clock_now_ns()) : 0;
}

/* Sends what is due by now on the connections that are free. Sets *ret_next_ns to when it should be
 * called again although no answer has come: UINT64_MAX when only an answer can help. */
static int start_due(Engine *engine, uint64_t *ret_next_ns) {
        bool open_loop = engine->plan->rate > 0;
        uint64_t next_ns = UINT64_MAX;
        int r;

        for (unsigned i = 0; i < engine->plan->connections; i++) {
                Connection *connection = &engine->connections[i];
                uint64_t now, due_ns;

                if (connection->busy)
                        continue;
                due_ns = open_loop ? arrivals_peek_ns(&engine->arrivals) : connection->due_ns;
                now = clock_now_ns();
                if (due_ns >= engine->end_ns || (!open_loop && now >= engine->end_ns))
                        continue;
                if (due_ns > now) {
                        next_ns = due_ns < next_ns ? due_ns : next_ns;
                        continue;
                }
                if (open_loop) {
                        arrivals_pop(&engine->arrivals);
                        if (due_ns >= engine->measure_from_ns)
                                histogram_add(&engine->report->lateness, now - due_ns);
                }
                r = connection_start(engine, connection, open_loop ? due_ns : now);
                if (r < 0)
                        return r;
        }
        *ret_next_ns = next_ns;
        return 0;
}

static int await_events(Engine *engine, uint64_t until_ns) {
        struct epoll_event events[64];
        uint64_t now = clock_now_ns();
        uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
        struct timespec timeout = {.tv_sec = (time_t) (wait_ns / NS_PER_S),
                                   .tv_nsec = (long) (wait_ns % NS_PER_S)};
        int n = epoll_pwait2(engine->epoll_fd, events, N_ELEMENTS(events), &timeout, NULL);

        if (n < 0)
                return errno == EINTR ? 0 : raise_errno("epoll_pwait2");
        for (int i = 0; i < n; i++) {
                Connection *connection = events[i].data.ptr;
                int r = 0;

                if (events[i].events & EPOLLOUT && connection->busy)
                        r = connection_send(engine, connection);
                if (r >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        r = connection_receive(engine, connection);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int loop(Engine *engine) {
        bool open_loop = engine->plan->rate > 0;

        for (;;) {
                uint64_t now, next_ns, until_ns;
                bool all_sent;
                int r = start_due(engine, &next_ns);

                if (r < 0)
                        return r;
                now = clock_now_ns();
                all_sent = open_loop ? arrivals_peek_ns(&engine->arrivals) >= engine->end_ns
                                     : now >= engine->end_ns;
                if (all_sent && engine->busy == 0)
                        return 0;
                if (now >= engine->end_ns + GRACE_NS)
                        break;
                until_ns = now < engine->end_ns ? engine->end_ns : engine->end_ns + GRACE_NS;
                r = await_events(engine, next_ns < until_ns ? next_ns : until_ns);
                if (r < 0)
                        return r;
        }
        engine->report->broken += engine->busy;
        for (; open_loop && arrivals_peek_ns(&engine->arrivals) < engine->end_ns;
             arrivals_pop(&engine->arrivals))
                engine->report->unsent++;
        return 0;
}

static int engine_start(Engine *engine) {
        uint64_t now;

        /* Timers are otherwise late by 50 µs, the default slack: more than what is to be measured.
         */
        if (prctl(PR_SET_TIMERSLACK, 1UL) < 0)
                return raise_errno("PR_SET_TIMERSLACK");
        engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (engine->epoll_fd < 0)
                return raise_errno("epoll_create1");
        for (unsigned i = 0; i < engine->plan->connections; i++) {
                int r;

                engine->connections[i].response = RESPONSE_INIT;
                r = connection_open(engine, &engine->connections[i]);
                if (r < 0)
                        return r;
        }
        now = clock_now_ns();
        engine->measure_from_ns = now + engine->plan->warm_up_ns;
        engine->end_ns = engine->measure_from_ns + engine->plan->measure_ns;
        engine->report->first_ns = engine->measure_from_ns;
        if (engine->plan->rate > 0)
                arrivals_start(&engine->arrivals, engine->plan->rate, engine->plan->poisson,
                               engine->plan->seed, now);
        return 0;
}

static void engine_done(Engine *engine) {
        for (unsigned i = 0; i < engine->plan->connections; i++) {
                close_fd(&engine->connections[i].fd);
                response_done(&engine->connections[i].response);
        }
        close_fd(&engine->epoll_fd);
}

int engine_run(const Plan *plan, Report *ret_report) {
        _autofree_ Engine *engine = calloc(1, sizeof(*engine));
        int r;

        if (engine == NULL)
                return raise_error(-ENOMEM, "engine");
        *ret_report = (Report){0};
        engine->plan = plan;
        engine->report = ret_report;
        engine->epoll_fd = -1;
        for (unsigned i = 0; i < plan->connections; i++)
                engine->connections[i].fd = -1;
        r = engine_start(engine);
        if (r >= 0)
                r = loop(engine);
        engine_done(engine);
        return r;
}
