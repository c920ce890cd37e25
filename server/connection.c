#include "server/connection.h"

#include <assert.h>
#include <sys/socket.h>

#include "kit/clock.h"
#include "server/connection_internal.h"

#define LOOK_MS_MAX 250
#define LOOK_MS_MIN 20

/* ── Hooking ── */

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

void connection_table_turned(ConnectionTable *table) {
        while (table->unhooked) {
                Connection *connection = table->unhooked;

                set_hooked(connection);
                intake_hook(connection->owner.intake);
        }
}

Intake *connection_intake(Connection *connection) {
        return connection->owner.intake;
}

static void look_at_all(h2o_timeout_entry_t *entry) {
        ConnectionTable *table = H2O_STRUCT_FROM_MEMBER(ConnectionTable, look, entry);
        uint64_t now_ns = clock_now_ns();

        for (Connection *connection = table->first; connection; connection = connection->next) {
                connection_look(connection, now_ns);
                /* After "100 Continue", libh2o sets its callback anew, too. */
                intake_hook(connection->owner.intake);
        }
        if (table->first)
                h2o_timeout_link(table->loop, &table->look_interval, &table->look);
}

/* ── Life ── */

void connection_shut_down(Connection *connection) {
        connection->is_shut_down = true;
        (void) shutdown(connection->fd, SHUT_RDWR);
}

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

Connection *connection_add(ConnectionTable *table, h2o_socket_t *sock, h2o_accept_ctx_t *accept) {
        Connection *connection = calloc(1, sizeof(*connection));
        Intake *intake = intake_new(table->intakes, sock);
        int fd = h2o_socket_get_fd(sock);
        int domain = AF_UNIX;
        socklen_t size = sizeof(domain);
        struct sockaddr_storage peer;

        if (!connection || !intake || !make_room(table, (size_t) fd)) {
                (void) intake_free(intake);
                free(connection);
                return NULL;
        }
        (void) getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
        /* libh2o keeps it: the kernel no longer knows the peer of a connection that was reset. */
        if (table->options->access_log)
                (void) h2o_socket_getpeername(sock, (struct sockaddr *) &peer);
        *connection = (Connection){
                .owner = {.intake = intake},
                .table = table,
                .next = table->first,
                .sock = sock,
                .fd = fd,
                .accept = accept,
                .is_tls = accept->ssl_ctx != NULL,
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

static void on_handshake(h2o_socket_t *sock, const char *err) {
        Connection *connection = sock->on_close.data;
        h2o_iovec_t protocol;

        if (err) {
                h2o_socket_close(sock);
                return;
        }
        protocol = h2o_socket_ssl_get_selected_protocol(sock);
        connection->is_accepted = true;
        intake_accept(connection->owner.intake, connection->accept,
                      h2o_memis(protocol.base, protocol.len, H2O_STRLIT("h2")));
}

void connection_accept(Connection *connection) {
        if (connection->is_tls) {
                h2o_socket_ssl_handshake(connection->sock, connection->accept->ssl_ctx, NULL,
                                         on_handshake);
                return;
        }
        connection->is_accepted = true;
        intake_accept(connection->owner.intake, connection->accept, false);
}

Connection *connection_of(const ConnectionTable *table, h2o_req_t *req) {
        h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
        int fd = sock ? h2o_socket_get_fd(sock) : -1;

        return fd >= 0 && (size_t) fd < table->n_by_fd ? table->by_fd[fd] : NULL;
}

uint32_t connection_request_began(Connection *connection, h2o_req_t *req) {
        connection->requests++;
        connection->in_flight++;
        if (req->version >= 0x200) {
                /* One that was upgraded is not hooked yet. */
                set_unhooked(connection);
                return intake_stream_began(connection->owner.intake, req);
        }
        intake_request_began(connection->owner.intake, req);
        return 0;
}

void connection_request_ended(Connection *connection, bool is_http2, uint32_t stream_id) {
        assert(connection->in_flight > 0);
        connection->in_flight--;
        if (is_http2) {
                intake_stream_ended(connection->owner.intake, stream_id);
                return;
        }
        intake_request_ended(connection->owner.intake);
        set_unhooked(connection);
}

void connection_table_drain(ConnectionTable *table) {
        table->draining = true;
        for (Connection *connection = table->first; connection; connection = connection->next) {
                uint64_t mark;

                if (connection_observe(connection, &mark) <= PHASE_IDLE &&
                    !intake_is_http2(connection->owner.intake))
                        connection_shut_down(connection);
        }
}

void connection_table_shut_down(ConnectionTable *table) {
        for (Connection *connection = table->first; connection; connection = connection->next)
                connection_shut_down(connection);
}
