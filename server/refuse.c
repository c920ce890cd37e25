#include "server/refuse.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "server/respond.h"

#define LINGER_MS     1000
#define LINGERING_MAX 64

typedef struct Refusal {
        Refusals *refusals;
        h2o_socket_t *sock; /* NULL: free */
        h2o_timeout_entry_t timeout;
} Refusal;

struct Refusals {
        h2o_loop_t *loop;
        h2o_timeout_t linger;
        Refusal of[LINGERING_MAX];
};

Refusals *refusals_new(h2o_loop_t *loop) {
        Refusals *refusals = calloc(1, sizeof(*refusals));

        if (!refusals)
                return NULL;
        refusals->loop = loop;
        h2o_timeout_init(loop, &refusals->linger, LINGER_MS);
        return refusals;
}

static void end(Refusal *refusal) {
        h2o_timeout_unlink(&refusal->timeout);
        h2o_socket_close(refusal->sock);
        refusal->sock = NULL;
}

Refusals *refusals_free(Refusals *refusals) {
        if (!refusals)
                return NULL;
        for (size_t i = 0; i < LINGERING_MAX; i++) {
                if (refusals->of[i].sock)
                        end(&refusals->of[i]);
        }
        h2o_timeout_dispose(refusals->loop, &refusals->linger);
        free(refusals);
        return NULL;
}

static void on_timeout(h2o_timeout_entry_t *entry) {
        end(H2O_STRUCT_FROM_MEMBER(Refusal, timeout, entry));
}

static void on_read(h2o_socket_t *sock, const char *error) {
        if (error)
                end(sock->data);
        else
                h2o_buffer_consume(&sock->input, sock->input->size);
}

static Refusal *free_refusal(Refusals *refusals) {
        for (size_t i = 0; i < LINGERING_MAX; i++) {
                if (!refusals->of[i].sock)
                        return &refusals->of[i];
        }
        return NULL;
}

void refuse_connection(Refusals *refusals, h2o_socket_t *sock, bool is_tls) {
        Refusal *refusal = is_tls ? NULL : free_refusal(refusals);
        ErrorAnswer why = {.status = 503, .retry_after_s = 1};
        int fd = h2o_socket_get_fd(sock);
        char answer[512];
        size_t size;

        if (!is_tls) {
                size = respond_raw_error(answer, sizeof(answer), why,
                                         "Too many connections are open.");
                (void) send(fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                (void) shutdown(fd, SHUT_WR);
        }
        if (!refusal) {
                h2o_socket_close(sock);
                return;
        }
        *refusal = (Refusal){.refusals = refusals, .sock = sock, .timeout = {.cb = on_timeout}};
        sock->data = refusal;
        h2o_timeout_link(refusals->loop, &refusals->linger, &refusal->timeout);
        h2o_socket_read_start(sock, on_read);
}
