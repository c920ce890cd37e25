#include <assert.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "server/connection_internal.h"
#include "server/respond.h"

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

Phase connection_observe(Connection *connection, uint64_t *ret_mark) {
        bool is_http2 = intake_is_http2(connection->owner.intake);

        *ret_mark = 0;
        if (!connection->is_accepted)
                return PHASE_HANDSHAKE;
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
                if (is_http2)
                        *ret_mark += acknowledged_bytes(connection);
                return PHASE_HANDLING;
        }
        if (!is_http2 && h2o_socket_is_reading(connection->sock) &&
            connection->sock->input->size > 0)
                return PHASE_RECEIVING;
        return PHASE_IDLE;
}

/* ── Deadlines ── */

static uint64_t deadline_ns(Connection *connection) {
        const ConnectionTable *table = connection->table;
        const Options *options = table->options;
        uint64_t idle_ms = options->idle_timeout_ms;
        bool is_http2 = intake_is_http2(connection->owner.intake);

        switch (connection->phase) {
        case PHASE_HANDSHAKE:
                return connection->since_ns + options->head_timeout_ms * NS_PER_MS;
        case PHASE_IDLE:
                /* Of a request that comes in over HTTP/2, the head is not seen. libh2o ends such a
                 * connection itself when no frame at all comes. */
                if (is_http2)
                        idle_ms += options->request_timeout_ms;
                else if (table->draining)
                        idle_ms = 0;
                return connection->since_ns + idle_ms * NS_PER_MS;
        case PHASE_RECEIVING:
                return connection->since_ns + NS_PER_MS * (look_for_end_of_head(connection)
                                                                   ? options->request_timeout_ms
                                                                   : options->head_timeout_ms);
        case PHASE_HANDLING:
                return is_http2 ? connection->since_ns + table->silence_ns : UINT64_MAX;
        case PHASE_WRITING:
                return connection->since_ns + options->write_timeout_ms * NS_PER_MS;
        }
        assert(!"a phase");
        return UINT64_MAX;
}

static void end_late(Connection *connection, Phase phase) {
        static const char *const phases[] = {
                [PHASE_HANDSHAKE] = "handshake", [PHASE_IDLE] = "idle",
                [PHASE_RECEIVING] = "receiving", [PHASE_HANDLING] = "handling",
                [PHASE_WRITING] = "writing",
        };
        char answer[512];

        log_debug("connection ended late phase=%s", phases[phase]);
        /* Nothing has been written on behalf of this request, so the bytes cannot land within an
         * answer. */
        if (phase == PHASE_RECEIVING && !connection->is_tls &&
            !intake_is_http2(connection->owner.intake)) {
                size_t size =
                        respond_raw_error(answer, sizeof(answer), (ErrorAnswer){.status = 408},
                                          "The request took too long to arrive.");

                (void) send(connection->fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        connection_shut_down(connection);
}

/* Whatever else goes on there: each of its bodies has its time. */
static bool has_late_stream(const Connection *connection, uint64_t now_ns) {
        uint64_t patience_ns = connection->table->options->request_timeout_ms * NS_PER_MS;

        return now_ns > patience_ns &&
               intake_is_late(connection->owner.intake, now_ns - patience_ns);
}

void connection_look(Connection *connection, uint64_t now_ns) {
        uint64_t mark;
        Phase phase = connection_observe(connection, &mark);

        if (phase != connection->phase || mark != connection->mark) {
                connection->phase = phase;
                connection->mark = mark;
                connection->since_ns = now_ns;
                connection->head_searched = 0;
                connection->head_complete = false;
        }
        if (connection->is_shut_down)
                return;
        if (now_ns >= deadline_ns(connection))
                end_late(connection, phase);
        else if (has_late_stream(connection, now_ns))
                end_late(connection, PHASE_RECEIVING);
}
