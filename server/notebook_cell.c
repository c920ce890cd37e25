#include "server/notebook_cell.h"

#include <errno.h>
#include <stdio.h>

#include "jsontext/scan.h"
#include "jsontext/write.h"
#include "kit/clock.h"
#include "pool/order.h"
#include "server/api/encode.h"
#include "server/time_text.h"

#define MIME_TYPE_MAX 127 /* RFC 6838, 4.2 */

/* ── Documents of a worker ── */

static bool is_surrogate_escape(const uint8_t *at, const uint8_t *end, char first, char last) {
        char third;

        if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || (at[2] | 0x20) != 'd')
                return false;
        third = (char) (at[3] >= 'A' ? at[3] | 0x20 : at[3]);
        return third >= first && third <= last;
}

/* Half a surrogate pair is valid JSON, but what Python's json makes of it cannot be written to a
 * file as UTF-8. Such an escape becomes that of U+FFFD, which is as long. */
static void mend_surrogates(Buffer *out, size_t offset) {
        uint8_t *at = out->data + offset;
        const uint8_t *end = out->data + out->size;

        while (at < end && (at = memchr(at, '\\', (size_t) (end - at)))) {
                if (is_surrogate_escape(at, end, '8', 'b') &&
                    is_surrogate_escape(at + 6, end, 'c', 'f')) {
                        at += 12;
                        continue;
                }
                if (is_surrogate_escape(at, end, '8', 'f'))
                        memcpy(at + 2, "fffd", 4);
                at += 2;
        }
}

static bool is_mime_type(Slice key) {
        size_t slashes = 0;

        for (size_t i = 0; i < key.size; i++) {
                uint8_t c = key.data[i];
                bool is_plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

                slashes += c == '/';
                if (!is_plain && (c == '\0' || !strchr("/.+-_", c)))
                        return false;
        }
        return slashes == 1 && key.size <= MIME_TYPE_MAX;
}

/* "application/vnd.plotly.v1+json" and its like, whose content may be any value. */
static bool is_json_type(Slice type) {
        static const char first[] = "application/", last[] = "+json";
        size_t first_size = sizeof(first) - 1, last_size = sizeof(last) - 1;

        return type.size > first_size + last_size && memcmp(type.data, first, first_size) == 0 &&
               memcmp(type.data + type.size - last_size, last, last_size) == 0;
}

/* The types that a kernel would send, of those that the worker did. application/json is the API's
 * own addition: Jupyter would show it, as a tree, in place of a table or a text. */
static void write_bundle(JsonWriter *writer, Slice document) {
        JsonCursor cursor;
        JsonItem item;

        json_key(writer, "data");
        json_begin_object(writer);
        if (json_enter(document, &cursor)) {
                while (json_next(&cursor, &item)) {
                        char type[MIME_TYPE_MAX + 1];

                        if (!is_mime_type(item.key) ||
                            (item.kind != JSON_STRING && !is_json_type(item.key)))
                                continue;
                        (void) snprintf(type, sizeof(type), "%.*s", (int) item.key.size,
                                        (const char *) item.key.data);
                        if (strcmp(type, "application/json") == 0)
                                continue;
                        json_key(writer, type);
                        json_raw(writer, item.value);
                }
        }
        json_end_object(writer);
        json_key(writer, "metadata");
        json_begin_object(writer);
        json_end_object(writer);
}

/* ── Outputs ── */

static void begin_output(JsonWriter *writer, const char *kind) {
        json_begin_object(writer);
        json_key(writer, "output_type");
        json_literal(writer, kind);
}

static void write_stream(JsonWriter *writer, const RunOutput *output, const char *name) {
        char marker[ANSWER_MARKER_MAX];

        begin_output(writer, "stream");
        json_key(writer, "name");
        json_literal(writer, name);
        json_key(writer, "text");
        json_text_pieces(writer, output->head, answer_marker(output, marker, sizeof(marker)),
                         output->tail);
        json_end_object(writer);
}

static void write_lines(JsonWriter *writer, Slice text) {
        const uint8_t *at = text.data, *end = text.data + text.size;

        json_begin_array(writer);
        while (at < end) {
                const uint8_t *line_end = memchr(at, '\n', (size_t) (end - at));

                if (!line_end)
                        line_end = end;
                json_text(writer, slice_of(at, (size_t) (line_end - at)));
                at = line_end + 1;
        }
        json_end_array(writer);
}

static void write_error(JsonWriter *writer, Slice name, Slice value, Slice traceback) {
        begin_output(writer, "error");
        json_key(writer, "ename");
        json_text(writer, name);
        json_key(writer, "evalue");
        json_text(writer, value);
        json_key(writer, "traceback");
        write_lines(writer, traceback.size > 0 ? traceback : value);
        json_end_object(writer);
}

/* SystemExit, too, as a kernel tells it. */
static void write_end(JsonWriter *writer, const RunResult *result) {
        const RunError *error = &result->error;
        char text[ANSWER_EXPLANATION_MAX];

        if (error->type.size > 0) {
                write_error(writer, error->type, error->message, error->traceback);
        } else if (answer_explain(result, text, sizeof(text))) {
                write_error(writer, slice_of_text(answer_verdict_type(result->status)),
                            slice_of_text(text), SLICE_NULL);
        } else if (result->status == RUN_EXIT) {
                (void) snprintf(text, sizeof(text), "%d", result->exit_code);
                write_error(writer, SLICE_LITERAL("SystemExit"), slice_of_text(text), SLICE_NULL);
        }
}

static void write_output_note(JsonWriter *writer, const char *text) {
        begin_output(writer, "stream");
        json_key(writer, "name");
        json_literal(writer, "stderr");
        json_key(writer, "text");
        json_literal(writer, text);
        json_end_object(writer);
}

static void write_outputs(JsonWriter *writer, const RunResult *result) {
        RunOrder order = order_of(result);
        RunPiece piece;

        while (order_next(&order, &piece)) {
                switch (piece.kind) {
                case PIECE_OUTPUT:
                        write_stream(writer, &piece.output,
                                     piece.stream == RUN_STDOUT ? "stdout" : "stderr");
                        break;
                case PIECE_DISPLAY:
                        begin_output(writer, "display_data");
                        write_bundle(writer, piece.document);
                        json_end_object(writer);
                        break;
                case PIECE_VALUE:
                        begin_output(writer, "execute_result");
                        json_key(writer, "execution_count");
                        json_integer(writer, (int64_t) result->session.number);
                        write_bundle(writer, piece.document);
                        json_end_object(writer);
                        break;
                }
        }
        if (result->displays_truncated)
                write_output_note(writer, "[" ANSWER_DISPLAYS_LEFT_OUT "]\n");
        write_end(writer, result);
}

/* ── Cells ── */

static void write_time(JsonWriter *writer, const char *name, uint64_t epoch_ms) {
        char text[TIME_TEXT_SIZE];

        time_text_utc(epoch_ms, text);
        json_key(writer, name);
        json_literal(writer, text);
}

static void write_metadata(JsonWriter *writer, const NotebookRun *run) {
        uint64_t wall_ms = run->result->usage.wall_ns / NS_PER_MS;

        json_key(writer, "metadata");
        json_begin_object(writer);
        json_key(writer, "execution");
        json_begin_object(writer);
        write_time(writer, "iopub.execute_input",
                   run->end_ms > wall_ms ? run->end_ms - wall_ms : 0);
        write_time(writer, "shell.execute_reply", run->end_ms);
        json_end_object(writer);
        json_end_object(writer);
}

typedef enum Omission { OMIT_NOTHING, OMIT_OUTPUTS, OMIT_SOURCE_TOO } Omission;

static int write_run(const NotebookRun *run, Omission omission, Buffer *out) {
        JsonWriter writer = JSON_WRITER(out);
        size_t start = out->size;
        char text[80];

        json_begin_object(&writer);
        json_key(&writer, "cell_type");
        json_literal(&writer, "code");
        json_key(&writer, "id");
        json_literal(&writer, run->cell_id);
        json_key(&writer, "execution_count");
        json_integer(&writer, (int64_t) run->result->session.number);
        write_metadata(&writer, run);
        json_key(&writer, "source");
        (void) snprintf(text, sizeof(text), "# %zu bytes of source are left out.",
                        run->source.size);
        if (omission == OMIT_SOURCE_TOO)
                json_literal(&writer, text);
        else
                json_text(&writer, run->source);
        json_key(&writer, "outputs");
        json_begin_array(&writer);
        if (omission == OMIT_NOTHING)
                write_outputs(&writer, run->result);
        else
                write_output_note(&writer, "[The outputs are left out: they were too long.]\n");
        json_end_array(&writer);
        json_end_object(&writer);
        if (writer.error < 0)
                return writer.error;
        mend_surrogates(out, start);
        return answer_make_one_line(out, start);
}

int notebook_write_run(const NotebookRun *run, Buffer *out) {
        return write_run(run, OMIT_NOTHING, out);
}

int notebook_write_run_within(const NotebookRun *run, size_t limit, Buffer *out) {
        static const Omission omissions[] = {OMIT_NOTHING, OMIT_OUTPUTS, OMIT_SOURCE_TOO};
        size_t start = out->size, old_limit = out->limit;
        int r = -EMSGSIZE;

        for (size_t i = 0; i < N_ELEMENTS(omissions) && r == -EMSGSIZE; i++) {
                out->size = start;
                out->limit = start + limit;
                r = write_run(run, omissions[i], out);
        }
        out->limit = old_limit;
        return r;
}

int notebook_write_note(const char *cell_id, const char *sentence, Buffer *out) {
        JsonWriter writer = JSON_WRITER(out);

        json_begin_object(&writer);
        json_key(&writer, "cell_type");
        json_literal(&writer, "markdown");
        json_key(&writer, "id");
        json_literal(&writer, cell_id);
        json_key(&writer, "metadata");
        json_begin_object(&writer);
        json_end_object(&writer);
        json_key(&writer, "source");
        json_literal(&writer, sentence);
        json_end_object(&writer);
        return writer.error;
}
