#include "server/intake_internal.h"

#include <h2o/http2.h>
#include <sys/socket.h>

#include "kit/clock.h"
#include "server/options.h"

static void on_read(h2o_socket_t *sock, const char *err) {
        Intake *intake = intake_of(sock);

        if (!err)
                intake_count_streams(intake);
        if (intake_call_libh2o(intake, err))
                intake_bound_streams(intake);
}

void intake_hook_http2(Intake *intake) {
        intake->is_http2 = true;
        intake->next_read = intake->sock->_cb.read;
        intake->sock->_cb.read = on_read;
}

bool intake_is_hooked_http2(const Intake *intake) {
        return intake->sock->_cb.read == on_read;
}

/* ── The bodies of its streams ── */

void intake_count_streams(Intake *intake) {
        Slice input = slice_of(intake->sock->input->bytes, intake->sock->input->size);

        if (!intake->streams && stream_bodies_has_data(input)) {
                intake->streams = calloc(1, sizeof(*intake->streams));
                intake_bound_reads(intake);
        }
        if (intake->streams)
                stream_bodies_count(intake->streams, input,
                                    intake->all->app->options->request_bytes_max, clock_now_ns());
}

static void hold_streams(Intake *intake) {
        uint64_t bytes = intake->streams ? intake->streams->bytes : 0;

        if (intake->streams && intake->streams->n == 0 && bytes == 0) {
                free(intake->streams);
                intake->streams = NULL;
        }
        if (intake->sock->input->capacity > SMALL_BODY_BYTES)
                bytes += intake->sock->input->capacity;
        intake_hold_memory(intake, bytes > SMALL_BODY_BYTES ? bytes : 0);
}

static uint32_t id_of(h2o_req_t *req) {
        /* The only way to it that is public; text for the access log. */
        h2o_iovec_t text = req->conn->callbacks->log_.http2.stream_id(req);

        return (uint32_t) h2o_strtosize(text.base, text.len);
}

/* libh2o allows 100 streams, and a few that are known for their priority only. */
#define LIVE_MAX 256

typedef struct LiveStreams {
        const Intake *intake;
        unsigned n;
        uint32_t ids[LIVE_MAX];
} LiveStreams;

static int add_live(h2o_req_t *req, void *data) {
        LiveStreams *live = data;

        if (live->n < LIVE_MAX && req->conn->callbacks->get_socket(req->conn) == live->intake->sock)
                live->ids[live->n++] = id_of(req);
        return 0;
}

static bool is_live(uint32_t stream_id, void *data) {
        const LiveStreams *live = data;

        for (unsigned i = 0; i < live->n; i++) {
                if (live->ids[i] == stream_id)
                        return true;
        }
        return false;
}

static void forget_ended(Intake *intake) {
        LiveStreams live = {.intake = intake};

        (void) H2O_HTTP2_CALLBACKS.foreach_request(intake->all->context, add_live, &live);
        stream_bodies_keep(intake->streams, is_live, &live);
}

void intake_bound_streams(Intake *intake) {
        hold_streams(intake);
        if (!intake_holds_too_much(intake))
                return;
        if (intake->streams) {
                forget_ended(intake);
                hold_streams(intake);
        }
        if (!intake_holds_too_much(intake))
                return;
        /* libh2o waits for what it writes before it lets go of the streams. */
        (void) shutdown(h2o_socket_get_fd(intake->sock), SHUT_RDWR);
        (void) !intake_call_libh2o(intake, intake_too_much(intake));
}

bool intake_is_late(Intake *intake, uint64_t limit_ns) {
        if (!intake->streams || stream_bodies_oldest_ns(intake->streams) >= limit_ns)
                return false;
        forget_ended(intake);
        hold_streams(intake);
        return intake->streams && stream_bodies_oldest_ns(intake->streams) < limit_ns;
}

uint32_t intake_stream_began(Intake *intake, h2o_req_t *req) {
        uint32_t stream_id;

        if (!intake->streams)
                return 0;
        stream_id = id_of(req);
        stream_bodies_complete(intake->streams, stream_id);
        return stream_id;
}

void intake_stream_ended(Intake *intake, uint32_t stream_id) {
        if (!intake->streams)
                return;
        stream_bodies_remove(intake->streams, stream_id);
        hold_streams(intake);
}
