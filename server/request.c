#include "server/request.h"

#include <openssl/rand.h>
#include <stdio.h>

#include "kit/clock.h"
#include "server/intake.h"
#include "server/respond.h"

static const char note_name[] = "hatchery.note";

static bool is_request_id(Slice text) {
        static const char allowed[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

        if (text.size == 0 || text.size >= REQUEST_ID_SIZE)
                return false;
        for (size_t i = 0; i < text.size; i++) {
                if (text.data[i] == '\0' || !strchr(allowed, text.data[i]))
                        return false;
        }
        return true;
}

/* 128 random bits in base 62, or nearly so many: a digit is chosen by six bits, and the last two
 * values are folded. */
static void random_name(char *ret_name, size_t size) {
        static const char digits[] =
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzAB";
        uint8_t bytes[32];

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                abort();
        for (size_t i = 0; i < size; i++)
                ret_name[i] = digits[bytes[i] & 63];
        ret_name[size] = '\0';
}

void make_run_id(char *ret_id) {
        memcpy(ret_id, "run_", 4);
        random_name(ret_id + 4, 22);
}

Slice request_header(h2o_req_t *req, const char *lower_case_name) {
        ssize_t index =
                h2o_find_header_by_str(&req->headers, lower_case_name, strlen(lower_case_name), -1);

        if (index < 0)
                return SLICE_NULL;
        return slice_of(req->headers.entries[index].value.base,
                        req->headers.entries[index].value.len);
}

Slice request_header_list(h2o_req_t *req, const char *lower_case_name) {
        size_t size = strlen(lower_case_name);
        h2o_iovec_t list = {0};

        for (ssize_t i = -1;
             (i = h2o_find_header_by_str(&req->headers, lower_case_name, size, i)) >= 0;) {
                h2o_iovec_t line = req->headers.entries[i].value;

                list = list.base ? h2o_concat(&req->pool, list, h2o_iovec_init(", ", 2), line)
                                 : line;
        }
        return slice_of(list.base, list.len);
}

static void note_dispose(void *data) {
        RequestNote *note = data;

        if (!note->connection)
                return;
        connection_answer_ended(note->connection, &note->held);
        connection_request_ended(note->connection, note->is_http2, note->stream_id);
}

void request_hold_answer(h2o_req_t *req, uint64_t bytes) {
        RequestNote *note = request_note(req);

        if (note->connection)
                connection_hold_answer(note->connection, &note->held, bytes);
}

void request_renew_answer(h2o_req_t *req) {
        RequestNote *note = request_note(req);

        if (note->connection)
                connection_renew_answer(note->connection, &note->held);
}

RequestNote *request_note(h2o_req_t *req) {
        h2o_iovec_t *slot = h2o_req_getenv(req, note_name, sizeof(note_name) - 1, 1);
        RequestNote *note;
        Slice given;

        if (slot->base)
                return (RequestNote *) (void *) slot->base;
        note = h2o_mem_alloc_shared(&req->pool, sizeof(*note), note_dispose);
        *note = (RequestNote){.start_ns = clock_now_ns(), .errors = ERRORS_PROBLEM};
        given = request_header(req, "x-request-id");
        if (is_request_id(given))
                memcpy(note->id, given.data, given.size);
        else
                random_name(note->id, 22);
        slot->base = (char *) note;
        return note;
}

const char *request_id(h2o_req_t *req) {
        return request_note(req)->id;
}

Body request_take_body(h2o_req_t *req) {
        Connection *connection = request_note(req)->connection;
        Body body;

        if (connection && req->version < 0x200 &&
            intake_take_body(connection_intake(connection), &body))
                return body;
        return body_in_memory(slice_of(req->entity.base, req->entity.len));
}
