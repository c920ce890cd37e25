#include "server/api/plain_text.h"

#include <stdio.h>

#include "jsontext/scan.h"
#include "server/api/encode.h"
#include "server/api/reader.h"

int plain_text_stream(Buffer *out, const RunOutput *output) {
        char marker_text[ANSWER_MARKER_MAX];
        Slice marker = answer_marker(output, marker_text, sizeof(marker_text));
        int r = buffer_append(out, output->head.data, output->head.size);

        if (r == 0)
                r = buffer_append(out, marker.data, marker.size);
        return r < 0 ? r : buffer_append(out, output->tail.data, output->tail.size);
}

int plain_text_document(Buffer *out, Slice document) {
        JsonCursor cursor;
        JsonItem item;
        int r;

        if (document.size == 0 || !json_enter(document, &cursor))
                return 0;
        while (json_next(&cursor, &item)) {
                Slice inside;

                if (!slice_equals(item.key, "text/plain") || item.kind != JSON_STRING)
                        continue;
                inside = slice_of(item.value.data + 1, item.value.size - 2);
                r = buffer_reserve(out, inside.size);
                if (r == 0 && inside.size > 0)
                        out->size += reader_unescape(inside, out->data + out->size, NULL);
                return r;
        }
        return 0;
}

bool plain_text_is_success(const RunResult *result) {
        return result->status == RUN_OK || (result->status == RUN_EXIT && result->exit_code == 0);
}

int plain_text_failure(Buffer *out, const RunResult *result) {
        const RunError *error = &result->error;
        char text[ANSWER_EXPLANATION_MAX];
        int r;

        if (error->traceback.size > 0)
                return buffer_append(out, error->traceback.data, error->traceback.size);
        if (error->type.size > 0) {
                r = buffer_append(out, error->type.data, error->type.size);
                if (r == 0)
                        r = buffer_append(out, ": ", 2);
                return r < 0 ? r : buffer_append(out, error->message.data, error->message.size);
        }
        if (!answer_explain(result, text, sizeof(text)))
                (void) snprintf(text, sizeof(text), "The program ended with exit code %d.",
                                result->exit_code);
        return buffer_append(out, text, strlen(text));
}

int plain_text_end_line(Buffer *out) {
        if (out->size == 0 || out->data[out->size - 1] == '\n')
                return 0;
        return buffer_append(out, "\n", 1);
}

void plain_text_write_lines(JsonWriter *writer, Slice text) {
        const uint8_t *at = text.data, *end = at + text.size;

        json_begin_array(writer);
        while (at < end) {
                const uint8_t *stop = memchr(at, '\n', (size_t) (end - at));
                size_t size = (size_t) ((stop ? stop : end) - at);

                json_text(writer, slice_of(at, size));
                at += size + (stop ? 1 : 0);
        }
        json_end_array(writer);
}
