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

/* A client that reads has held what it has for a moment only. */
static double weight_of(const Connection *connection, uint64_t now_ns) {
        return (double) connection->unsent_bytes *
               (double) (now_ns - connection->unsent_since_ns + 1);
}

static Connection *find_heaviest(const ConnectionTable *table) {
        uint64_t now_ns = clock_now_ns();
        Connection *heaviest = NULL;

        for (Connection *at = table->first; at; at = at->next) {
                if (at->unsent_bytes > 0 && !at->is_let_go &&
                    (!heaviest || weight_of(at, now_ns) > weight_of(heaviest, now_ns)))
                        heaviest = at;
        }
        return heaviest;
}

static void let_go(Connection *connection) {
        log_warning("a connection was ended: too much waits to be read by clients bytes=%llu "
                    "of_this=%llu",
                    (unsigned long long) connection->table->unsent_bytes,
                    (unsigned long long) connection->unsent_bytes);
        connection->is_let_go = true;
        connection->table->let_go_bytes += connection->unsent_bytes;
        connection_shut_down(connection);
}

void connection_hold_answer(Connection *connection, uint64_t bytes) {
        ConnectionTable *table = connection->table;

        if (connection->unsent_bytes == 0)
                connection->unsent_since_ns = clock_now_ns();
        connection->unsent_bytes += bytes;
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

void connection_answer_ended(Connection *connection, uint64_t bytes) {
        ConnectionTable *table = connection->table;

        connection->unsent_bytes -= bytes;
        table->unsent_bytes -= bytes;
        if (connection->is_let_go)
                table->let_go_bytes -= bytes;
}
