#include "server/api/jupyter_answer.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "pool/order.h"
#include "pool/session.h"
#include "server/api/encode.h"
#include "server/api/plain_text.h"
#include "server/api/validation.h"
#include "server/respond.h"

/* ── Runs ── */

/* What is shown is joined by line breaks: pieces are what came from a stream, a display, a value,
 * with the line breaks that they have themselves. */
static int append_piece(Buffer *out, const Buffer *piece) {
        int r = 0;

        if (piece->size == 0)
                return 0;
        if (out->size > 0)
                r = buffer_append(out, "\n", 1);
        return r < 0 ? r : buffer_append(out, piece->data, piece->size);
}

static int append_stream(Buffer *out, const RunOutput *output) {
        _cleanup_(buffer_done) Buffer piece = BUFFER_INIT(0);
        int r = plain_text_stream(&piece, output);

        return r < 0 ? r : append_piece(out, &piece);
}

static int append_document(Buffer *out, Slice document) {
        _cleanup_(buffer_done) Buffer piece = BUFFER_INIT(0);
        int r = plain_text_document(&piece, document);

        return r < 0 ? r : append_piece(out, &piece);
}

static int append_literal(Buffer *out, const char *text) {
        _cleanup_(buffer_done) Buffer piece = BUFFER_INIT(0);
        int r = buffer_append(&piece, text, strlen(text));

        return r < 0 ? r : append_piece(out, &piece);
}

static int gather(const RunResult *result, Buffer *out) {
        RunOrder order = order_of(result);
        RunPiece piece;
        int r = 0;

        while (r == 0 && order_next(&order, &piece))
                r = piece.kind == PIECE_OUTPUT ? append_stream(out, &piece.output)
                                               : append_document(out, piece.document);
        if (r == 0 && result->displays_truncated)
                r = append_literal(out, "[" ANSWER_DISPLAYS_LEFT_OUT "]");
        return r;
}

static int write_output(const RunResult *result, Buffer *body) {
        _cleanup_(buffer_done) Buffer output = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(body);
        int r = gather(result, &output);

        json_begin_object(&writer);
        json_key(&writer, "output");
        json_text(&writer, buffer_slice(&output));
        if (result->session.began_anew) {
                json_key(&writer, "notice");
                json_literal(&writer, result->session.began_anew);
        }
        json_end_object(&writer);
        return r < 0 ? r : writer.error;
}

static int write_failure(const RunResult *result, Buffer *body) {
        _cleanup_(buffer_done) Buffer text = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(body);
        char exit_line[48];
        int r;

        if (result->status == RUN_EXIT) {
                (void) snprintf(exit_line, sizeof(exit_line), "SystemExit: %d", result->exit_code);
                r = buffer_append(&text, exit_line, strlen(exit_line));
        } else {
                r = plain_text_failure(&text, result);
        }
        json_begin_object(&writer);
        json_key(&writer, "detail");
        json_begin_object(&writer);
        json_key(&writer, "error");
        json_literal(&writer, "Execution error");
        json_key(&writer, "traceback");
        plain_text_write_lines(&writer, buffer_slice(&text));
        if (result->session.began_anew) {
                json_key(&writer, "notice");
                json_literal(&writer, result->session.began_anew);
        }
        json_end_object(&writer);
        json_end_object(&writer);
        return r < 0 ? r : writer.error;
}

static int write_timeout(Buffer *body) {
        static const char text[] = "{\"detail\":\"Code execution timed out\"}";

        return buffer_append(body, text, strlen(text));
}

int jupyter_answer(const RunResult *result, Buffer *body) {
        int status, r;

        if (plain_text_is_success(result)) {
                status = 200;
                r = write_output(result, body);
        } else if (result->status == RUN_TIMEOUT) {
                status = 408;
                r = write_timeout(body);
        } else {
                status = 400;
                r = write_failure(result, body);
        }
        return r < 0 ? r : status;
}

/* ── All else ── */

bool jupyter_check_id(h2o_req_t *req, Slice user_id) {
        const char *problem = session_id_problem(user_id);
        char text[128];

        if (!problem)
                return true;
        (void) snprintf(text, sizeof(text), "This id %s.", problem);
        respond_invalid(req, FIELD_IN_BODY, "user_id", text, "value_error");
        return false;
}

void jupyter_respond_message(h2o_req_t *req, const char *text) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        json_key(&writer, "message");
        json_literal(&writer, text);
        json_end_object(&writer);
        if (writer.error < 0)
                jupyter_respond_no_memory(req);
        else
                respond_json(req, 200, &body);
}

void jupyter_respond_not_found(h2o_req_t *req) {
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 404},
                      "Session not found. Please start a new session.");
}

void jupyter_respond_no_memory(h2o_req_t *req) {
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 503},
                      "The server has no memory for its answer.");
}
