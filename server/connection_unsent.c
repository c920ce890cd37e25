/*
 * connection_unsent: answers that wait in memory until their clients take them. One that does not
 * read holds all of its answers, over HTTP/2 a hundred at once and for as long as runs may take. So
 * there is a bound of all of them together; when it is reached, the connection goes that has held
 * most for longest.
 */

#include "kit/clock.h"
#include "kit/log.h"
#include "server/connection_internal.h"

/* One answer alone may have tens of megabytes. */
#define BYTES_LEAST (128ULL << 20)

static uint64_t bytes_max(const ConnectionTable *table) {
        uint64_t bytes = table->options->bodies_bytes_max;

        return bytes > BYTES_LEAST ? bytes : BYTES_LEAST;
}

static uint64_t now_ms(void) {
        return clock_now_ns() / NS_PER_MS;
}

/* For each byte, how long it has been held. A client that reads has held what it has for a moment
 * only, however long its connection has had one answer after the other. The sums may have gone
 * round; their difference has not. */
static uint64_t weight_of(const Connection *connection, uint64_t at_ms) {
        return connection->unsent.bytes * (at_ms + 1) - connection->unsent.since_sum;
}

static Connection *find_heaviest(const ConnectionTable *table) {
        uint64_t at_ms = now_ms();
        Connection *heaviest = NULL;

        for (Connection *at = table->first; at; at = at->next) {
                if (at->unsent.bytes > 0 && !at->is_let_go &&
                    (!heaviest || weight_of(at, at_ms) > weight_of(heaviest, at_ms)))
                        heaviest = at;
        }
        return heaviest;
}

static void let_go(Connection *connection) {
        log_warning("a connection was ended: too much waits to be read by clients bytes=%llu "
                    "of_this=%llu",
                    (unsigned long long) connection->table->unsent_bytes,
                    (unsigned long long) connection->unsent.bytes);
        connection->is_let_go = true;
        connection->table->let_go_bytes += connection->unsent.bytes;
        connection_shut_down(connection);
}

void connection_hold_answer(Connection *connection, HeldAnswer *answer, uint64_t bytes) {
        ConnectionTable *table = connection->table;
        uint64_t since = bytes * now_ms();

        answer->bytes += bytes;
        answer->since_sum += since;
        connection->unsent.bytes += bytes;
        connection->unsent.since_sum += since;
        table->unsent_bytes += bytes;
        if (connection->is_let_go)
                table->let_go_bytes += bytes;
        /* What is let go is freed as libh2o notices, one after the other. */
        while (table->unsent_bytes - table->let_go_bytes > bytes_max(table)) {
                Connection *heaviest = find_heaviest(table);

                if (!heaviest)
                        break;
                let_go(heaviest);
        }
}

void connection_renew_answer(Connection *connection, HeldAnswer *answer) {
        uint64_t since = answer->bytes * now_ms();

        connection->unsent.since_sum += since - answer->since_sum;
        answer->since_sum = since;
}

void connection_answer_ended(Connection *connection, const HeldAnswer *answer) {
        ConnectionTable *table = connection->table;

        connection->unsent.bytes -= answer->bytes;
        connection->unsent.since_sum -= answer->since_sum;
        table->unsent_bytes -= answer->bytes;
        if (connection->is_let_go)
                table->let_go_bytes -= answer->bytes;
}
