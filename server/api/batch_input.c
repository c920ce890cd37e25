#include "server/api/batch_input.h"

typedef struct Envelope {
        JsonItem runs, template, limits;
} Envelope;

static bool read_runs(Reader *reader, void *target, const JsonItem *item) {
        ((Envelope *) target)->runs = *item;
        return reader_expect(reader, item, JSON_ARRAY, "runs");
}

static bool read_template(Reader *reader, void *target, const JsonItem *item) {
        ((Envelope *) target)->template = *item;
        return true;
}

static bool read_limits(Reader *reader, void *target, const JsonItem *item) {
        ((Envelope *) target)->limits = *item;
        return true;
}

static const Member envelope_members[] = {
        {"runs", read_runs},
        {"template", read_template},
        {"limits", read_limits},
};

static bool is_blank(Slice text) {
        for (size_t i = 0; i < text.size; i++) {
                if (!strchr(" \t\r\n", text.data[i]) || text.data[i] == '\0')
                        return false;
        }
        return true;
}

/* Takes the next line that is not blank off the front of text. */
static bool take_line(Slice *text, Slice *ret_line) {
        while (text->size > 0) {
                const uint8_t *end = memchr(text->data, '\n', text->size);
                size_t size = end ? (size_t) (end - text->data) : text->size;
                size_t taken = end ? size + 1 : size;

                *ret_line = slice_of(text->data, size);
                *text = slice_of(text->data + taken, text->size - taken);
                if (!is_blank(*ret_line))
                        return true;
        }
        return false;
}

static bool has_member(Slice object, const char *name) {
        JsonCursor cursor;
        JsonItem item;

        (void) json_enter(object, &cursor);
        while (json_next(&cursor, &item)) {
                if (slice_equals(item.key, name))
                        return true;
        }
        return false;
}

static bool open_array(BatchInput *input, Slice array) {
        (void) json_enter(array, &input->cursor);
        return true;
}

static bool open_envelope(BatchInput *input, Reader *reader, DecodeContext *context, Slice body) {
        Envelope envelope = {0};

        if (!reader_object(reader, body, envelope_members, N_ELEMENTS(envelope_members), false,
                           &envelope))
                return false;
        if (envelope.runs.value.size == 0)
                return reader_fail(reader, 422, "runs", "This member is required: a list of runs.");
        return decode_standards(reader, context, &envelope.template, &envelope.limits) &&
               open_array(input, envelope.runs.value);
}

static bool open_lines(BatchInput *input, Slice body) {
        input->is_lines = true;
        input->rest = body;
        return true;
}

/* Whether a body that is not one JSON value is meant as lines, some of which may be bad, and not as
 * one value that went wrong. */
static bool looks_like_lines(Slice body) {
        Slice line, ignored;

        if (!take_line(&body, &line) || !take_line(&body, &ignored))
                return false;
        return json_is(line, JSON_OBJECT, 0);
}

static bool open_body(BatchInput *input, Reader *reader, DecodeContext *context, Slice body,
                      bool says_lines) {
        if (reader_start(reader, body)) {
                if (!says_lines && has_member(body, "runs"))
                        return open_envelope(input, reader, context, body);
                return open_lines(input, body);
        }
        if (is_blank(body))
                return reader_fail(
                        reader, 400, "",
                        "The body is empty; runs were expected, one JSON object per line.");
        if (says_lines || looks_like_lines(body))
                return open_lines(input, body);
        if (json_is(body, JSON_ARRAY, 0))
                return open_array(input, body);
        if (reader->error.status == 422)
                return reader_fail(
                        reader, 422, "",
                        "The body must be a list of runs, an object with \"runs\", or one JSON "
                        "object per line.");
        return false;
}

/* A single object that is spread over several lines is one element, not as many as it has lines. */
static void keep_whole(BatchInput *input, Slice body, bool says_lines) {
        if (!input->is_lines || says_lines || !json_is(body, JSON_OBJECT, 0))
                return;
        input->rest = SLICE_NULL;
        input->element = body;
        input->has_element = true;
}

static void find_next(BatchInput *input) {
        JsonItem item = {0};

        if (input->is_lines) {
                input->has_element = take_line(&input->rest, &input->element);
                return;
        }
        input->has_element = json_next(&input->cursor, &item);
        input->element = item.value;
}

bool batch_input_open(BatchInput *input, Reader *reader, DecodeContext *context, Slice body,
                      bool says_lines) {
        BatchInput counted;
        size_t count = 0;

        *input = (BatchInput){0};
        if (!open_body(input, reader, context, body, says_lines))
                return false;
        keep_whole(input, body, says_lines);
        if (input->has_element)
                return true;
        find_next(input);
        for (counted = *input; counted.has_element && count <= BATCH_ELEMENTS_MAX; count++)
                find_next(&counted);
        if (count > BATCH_ELEMENTS_MAX)
                return reader_fail(reader, 422, input->is_lines ? "" : "runs",
                                   "A batch may have at most %d runs; send several.",
                                   BATCH_ELEMENTS_MAX);
        return true;
}

void batch_input_advance(BatchInput *input) {
        input->index++;
        find_next(input);
}

Slice batch_element_id(Slice element) {
        JsonCursor cursor;
        JsonItem item;

        if (!json_is(element, JSON_OBJECT, 0))
                return SLICE_NULL;
        (void) json_enter(element, &cursor);
        while (json_next(&cursor, &item)) {
                if (slice_equals(item.key, "id") && item.value.size <= REQUEST_ID_MAX &&
                    (item.kind == JSON_STRING || item.kind == JSON_NUMBER))
                        return item.value;
        }
        return SLICE_NULL;
}
