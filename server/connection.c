#include "server/connection.h"

#include <assert.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "server/respond.h"

#define LOOK_MS_MAX 250
#define LOOK_MS_MIN 20

typedef enum Phase {
        PHASE_IDLE, /* waits for a request, or (TLS, HTTP/2) for something that cannot be seen from
                       here */
        PHASE_RECEIVING, /* part of a request has come */
        PHASE_HANDLING,  /* a request is with a handler */
        PHASE_WRITING,   /* the kernel's buffer is full of the answer */
} Phase;

struct Connection {
        IntakeOwner owner; /* first: on_close.data is found by it */
        ConnectionTable *table;
        Connection *previous, *next;
        bool is_unhooked; /* in the table's list of these: */
        Connection *unhooked_previous, *unhooked_next;
        h2o_socket_t *sock;
        h2o_socket_cb first_read; /* what read when it was new */
        int fd;
        bool is_tls, is_tcp, is_http2;
        bool is_shut_down;
        unsigned in_flight;   /* requests with a handler, or being answered */
        uint64_t requests;    /* that have arrived */
        size_t head_searched; /* bytes of the input that hold no end of a head */
        bool head_complete;
        Phase phase;
        uint64_t mark;     /* differs when the connection has moved within its phase */
        uint64_t since_ns; /* when the phase began, or the mark changed */
};

struct ConnectionTable {
        h2o_loop_t *loop;
        const Options *options;
        Intakes *intakes;
        unsigned *count;
        void (*closed)(void *data);
        void *closed_data;
        h2o_socket_cb http1_read; /* by which libh2o reads HTTP/1; NULL: not seen yet */
        Connection *unhooked;     /* whose next request intake.h does not see yet */
        Connection **by_fd;
        size_t n_by_fd;
        Connection *first;
        h2o_timeout_t look_interval;
        h2o_timeout_entry_t look;
        uint64_t silence_ns; /* the longest time an honest HTTP/2 connection may be without movement
                              */
        bool draining;
};

/* ── What is it doing ── */

static uint64_t acknowledged_bytes(const Connection *connection) {
        struct tcp_info info = {0};
        socklen_t size = sizeof(info);
        int unsent = 0;

        if (connection->is_tcp) {
                (void) getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
                return info.tcpi_bytes_acked;
        }
        (void) ioctl(connection->fd, SIOCOUTQ, &unsent);
        return connection->sock->bytes_written + (uint64_t) unsent;
}

/* Whether the head of the request that is being received has come in whole. It ends with an empty
 * line; libh2o's parser takes a bare line feed for the end of a line too. */
static bool look_for_end_of_head(Connection *connection) {
        const char *input = connection->sock->input->bytes;
        size_t size = connection->sock->input->size;
        size_t at = connection->head_searched > 2 ? connection->head_searched - 2 : 0;

        for (; at + 1 < size && !connection->head_complete; at++) {
                if (input[at] != '\n')
                        continue;
                if (input[at + 1] == '\n' ||
                    (input[at + 1] == '\r' && at + 2 < size && input[at + 2] == '\n'))
                        connection->head_complete = true;
        }
        connection->head_searched = size;
        return connection->head_complete;
}

/* Each stage of a connection reads with a callback of its own: first HTTP/1, or for TLS the
 * handshake, which has no protocol to tell yet. */
static void look_for_http2(Connection *connection) {
        h2o_socket_cb read = connection->sock->_cb.read;
        h2o_iovec_t protocol;

        if (connection->is_http2 || !read || read == connection->first_read ||
            intake_is_hooked(connection->owner.intake))
                return;
        protocol = connection->is_tls ? h2o_socket_ssl_get_selected_protocol(connection->sock)
                                      : h2o_iovec_init(H2O_STRLIT("h2"));
        connection->is_http2 = h2o_memis(protocol.base, protocol.len, H2O_STRLIT("h2"));
}

static Phase observe(Connection *connection, uint64_t *ret_mark) {
        look_for_http2(connection);
        if (intake_is_receiving(connection->owner.intake, ret_mark)) {
                *ret_mark += connection->requests;
                return PHASE_RECEIVING;
        }
        *ret_mark = connection->requests;
        if (h2o_socket_is_writing(connection->sock)) {
                *ret_mark = acknowledged_bytes(connection);
                return PHASE_WRITING;
        }
        if (connection->in_flight > 0) {
                if (connection->is_http2)
                        *ret_mark += acknowledged_bytes(connection);
                return PHASE_HANDLING;
        }
        if (!connection->is_http2 && h2o_socket_is_reading(connection->sock) &&
            connection->sock->input->size > 0)
                return PHASE_RECEIVING;
        return PHASE_IDLE;
}

/* ── Deadlines ── */

static uint64_t deadline_ns(Connection *connection) {
        const ConnectionTable *table = connection->table;
        const Options *options = table->options;
        uint64_t idle_ms = options->idle_timeout_ms;

        switch (connection->phase) {
        case PHASE_IDLE:
                /* A request that comes in over HTTP/2 is not seen before it is complete. libh2o
                 * ends such a connection itself when no frame at all comes. */
                if (connection->is_http2)
                        idle_ms += options->request_timeout_ms;
                else if (table->draining)
                        idle_ms = 0;
                return connection->since_ns + idle_ms * NS_PER_MS;
        case PHASE_RECEIVING:
                return connection->since_ns + NS_PER_MS * (look_for_end_of_head(connection)
                                                                   ? options->request_timeout_ms
                                                                   : options->head_timeout_ms);
        case PHASE_HANDLING:
                return connection->is_http2 ? connection->since_ns + table->silence_ns : UINT64_MAX;
        case PHASE_WRITING:
                return connection->since_ns + options->write_timeout_ms * NS_PER_MS;
        }
        assert(!"a phase");
        return UINT64_MAX;
}

static void shut_down(Connection *connection) {
        connection->is_shut_down = true;
        (void) shutdown(connection->fd, SHUT_RDWR);
}

static void end_late(Connection *connection) {
        static const char *const phases[] = {
                [PHASE_IDLE] = "idle",
                [PHASE_RECEIVING] = "receiving",
                [PHASE_HANDLING] = "handling",
                [PHASE_WRITING] = "writing",
        };
        char answer[512];

        log_debug("connection ended late phase=%s", phases[connection->phase]);
        /* Nothing has been written on behalf of this request, so the bytes cannot land within an
         * answer. */
        if (connection->phase == PHASE_RECEIVING && !connection->is_tls) {
                size_t size =
                        respond_raw_error(answer, sizeof(answer), (ErrorAnswer){.status = 408},
                                          "The request took too long to arrive.");

                (void) send(connection->fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        shut_down(connection);
}

static void look_at(Connection *connection, uint64_t now_ns) {
        uint64_t mark;
        Phase phase = observe(connection, &mark);

        if (phase != connection->phase || mark != connection->mark) {
                connection->phase = phase;
                connection->mark = mark;
                connection->since_ns = now_ns;
                connection->head_searched = 0;
                connection->head_complete = false;
        }
        if (!connection->is_shut_down && now_ns >= deadline_ns(connection))
                end_late(connection);
}

static void set_unhooked(Connection *connection) {
        ConnectionTable *table = connection->table;

        if (connection->is_unhooked)
                return;
        connection->is_unhooked = true;
        connection->unhooked_previous = NULL;
        connection->unhooked_next = table->unhooked;
        if (table->unhooked)
                table->unhooked->unhooked_previous = connection;
        table->unhooked = connection;
}

static void set_hooked(Connection *connection) {
        if (!connection->is_unhooked)
                return;
        connection->is_unhooked = false;
        if (connection->unhooked_previous)
                connection->unhooked_previous->unhooked_next = connection->unhooked_next;
        else
                connection->table->unhooked = connection->unhooked_next;
        if (connection->unhooked_next)
                connection->unhooked_next->unhooked_previous = connection->unhooked_previous;
}

/* libh2o sets its callback anew before each request, at the end of the one before, or of the TLS
 * handshake. */
static void hook(Connection *connection) {
        ConnectionTable *table = connection->table;
        h2o_socket_cb read = connection->sock->_cb.read;

        if (!read || connection->is_http2 || (connection->is_tls && read == connection->first_read))
                return;
        look_for_http2(connection);
        if (!connection->is_http2) {
                if (!table->http1_read && !intake_is_hooked(connection->owner.intake))
                        table->http1_read = read;
                intake_hook(connection->owner.intake, table->http1_read);
        }
}

void connection_table_turned(ConnectionTable *table) {
        Connection *next;

        for (Connection *connection = table->unhooked; connection; connection = next) {
                next = connection->unhooked_next;
                hook(connection);
                if (!connection->is_tls || connection->sock->_cb.read != connection->first_read)
                        set_hooked(connection);
        }
}

Intake *connection_intake(Connection *connection) {
        return connection->owner.intake;
}

static void look_at_all(h2o_timeout_entry_t *entry) {
        ConnectionTable *table = H2O_STRUCT_FROM_MEMBER(ConnectionTable, look, entry);
        uint64_t now_ns = clock_now_ns();

        for (Connection *connection = table->first; connection; connection = connection->next) {
                look_at(connection, now_ns);
                /* After "100 Continue", libh2o sets its callback anew, too. */
                hook(connection);
        }
        if (table->first)
                h2o_timeout_link(table->loop, &table->look_interval, &table->look);
}

/* ── Life ── */

static uint64_t look_interval_ms(const Options *options) {
        uint64_t least = options->head_timeout_ms;

        if (options->idle_timeout_ms < least)
                least = options->idle_timeout_ms;
        if (options->write_timeout_ms < least)
                least = options->write_timeout_ms;
        least /= 10;
        return least < LOOK_MS_MIN ? LOOK_MS_MIN : least > LOOK_MS_MAX ? LOOK_MS_MAX : least;
}

ConnectionTable *connection_table_new(h2o_loop_t *loop, const Options *options, Intakes *intakes,
                                      unsigned *count, void (*closed)(void *data), void *data) {
        ConnectionTable *table = calloc(1, sizeof(*table));
        uint64_t wall_ms = 0;

        if (!table)
                return NULL;
        for (size_t i = 0; i < options->n_templates; i++) {
                if (options->templates[i].limits.maximum[LIMIT_WALL_MS] > wall_ms)
                        wall_ms = options->templates[i].limits.maximum[LIMIT_WALL_MS];
        }
        table->silence_ns =
                (wall_ms + options->queue_wait_ms + options->write_timeout_ms) * NS_PER_MS;
        table->loop = loop;
        table->options = options;
        table->intakes = intakes;
        table->count = count;
        table->closed = closed;
        table->closed_data = data;
        table->look.cb = look_at_all;
        h2o_timeout_init(loop, &table->look_interval, look_interval_ms(options));
        return table;
}

ConnectionTable *connection_table_free(ConnectionTable *table) {
        if (!table)
                return NULL;
        assert(!table->first);
        h2o_timeout_unlink(&table->look);
        h2o_timeout_dispose(table->loop, &table->look_interval);
        free(table->by_fd);
        free(table);
        return NULL;
}

static void remove_connection(void *data) {
        Connection *connection = data;
        ConnectionTable *table = connection->table;

        assert(connection->in_flight == 0);
        if (connection->previous)
                connection->previous->next = connection->next;
        else
                table->first = connection->next;
        if (connection->next)
                connection->next->previous = connection->previous;
        table->by_fd[connection->fd] = NULL;
        set_hooked(connection);
        (void) intake_free(connection->owner.intake);
        free(connection);
        (*table->count)--;
        table->closed(table->closed_data);
}

static bool make_room(ConnectionTable *table, size_t fd) {
        size_t n = table->n_by_fd ? table->n_by_fd : 64;
        Connection **by_fd;

        if (fd < table->n_by_fd)
                return true;
        while (n <= fd)
                n *= 2;
        by_fd = reallocarray(table->by_fd, n, sizeof(*by_fd));
        if (!by_fd)
                return false;
        memset(by_fd + table->n_by_fd, 0, (n - table->n_by_fd) * sizeof(*by_fd));
        table->by_fd = by_fd;
        table->n_by_fd = n;
        return true;
}

Connection *connection_add(ConnectionTable *table, h2o_socket_t *sock, bool is_tls) {
        Connection *connection = calloc(1, sizeof(*connection));
        Intake *intake = intake_new(table->intakes, sock);
        int fd = h2o_socket_get_fd(sock);
        int domain = AF_UNIX;
        socklen_t size = sizeof(domain);

        if (!connection || !intake || !make_room(table, (size_t) fd)) {
                (void) intake_free(intake);
                free(connection);
                return NULL;
        }
        (void) getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
        *connection = (Connection){
                .owner = {.intake = intake},
                .table = table,
                .next = table->first,
                .sock = sock,
                .fd = fd,
                .is_tls = is_tls,
                .is_tcp = domain != AF_UNIX,
                .since_ns = clock_now_ns(),
        };
        if (table->first)
                table->first->previous = connection;
        if (!h2o_timeout_is_linked(&table->look))
                h2o_timeout_link(table->loop, &table->look_interval, &table->look);
        table->first = connection;
        table->by_fd[fd] = connection;
        (*table->count)++;
        sock->on_close.cb = remove_connection;
        sock->on_close.data = connection;
        return connection;
}

void connection_accepted(Connection *connection) {
        connection->first_read = connection->sock->_cb.read;
        set_unhooked(connection);
        hook(connection);
}

Connection *connection_of(const ConnectionTable *table, h2o_req_t *req) {
        h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
        int fd = sock ? h2o_socket_get_fd(sock) : -1;

        return fd >= 0 && (size_t) fd < table->n_by_fd ? table->by_fd[fd] : NULL;
}

void connection_request_began(Connection *connection, bool is_http2) {
        connection->requests++;
        connection->in_flight++;
        if (is_http2)
                connection->is_http2 = true;
}

void connection_request_ended(Connection *connection) {
        assert(connection->in_flight > 0);
        connection->in_flight--;
        if (connection->is_http2)
                return;
        intake_request_ended(connection->owner.intake);
        set_unhooked(connection);
}

void connection_table_drain(ConnectionTable *table) {
        table->draining = true;
        for (Connection *connection = table->first; connection; connection = connection->next) {
                uint64_t mark;

                if (observe(connection, &mark) == PHASE_IDLE && !connection->is_http2)
                        shut_down(connection);
        }
}

void connection_table_shut_down(ConnectionTable *table) {
        for (Connection *connection = table->first; connection; connection = connection->next)
                shut_down(connection);
}
