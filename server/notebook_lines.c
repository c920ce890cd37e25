/* notebook_lines: the part of notebook_cell.h that looks at many cells. */

#include "server/notebook_cell.h"

#include <errno.h>

#include "jsontext/scan.h"
#include "jsontext/write.h"

/* The cell in front that tells of those which are gone; none of ours has such an id. */
#define LEFT_OUT_ID "left-out"

typedef enum Fate { KEPT, WITHOUT_OUTPUTS, GONE } Fate;

typedef struct Line {
        Slice text;
        Fate fate;
} Line;

/* The next line that is a cell; one that a crash has cut is none. */
static bool next_cell(Slice *lines, Slice *ret_cell) {
        while (lines->size > 0) {
                const uint8_t *end = memchr(lines->data, '\n', lines->size);
                size_t size = end ? (size_t) (end - lines->data) : lines->size;

                *ret_cell = slice_of(lines->data, size);
                *lines = slice_of(lines->data + size + (end ? 1 : 0),
                                  lines->size - size - (end ? 1 : 0));
                if (size > 0 && json_is(*ret_cell, JSON_OBJECT, 0))
                        return true;
        }
        return false;
}

static bool find_member(Slice cell, const char *name, JsonItem *ret_item) {
        JsonCursor cursor;

        (void) json_enter(cell, &cursor);
        while (json_next(&cursor, ret_item)) {
                if (slice_equals(ret_item->key, name))
                        return true;
        }
        return false;
}

static bool tells_what_is_gone(Slice cell) {
        JsonItem id;

        return find_member(cell, "id", &id) && slice_equals(id.value, "\"" LEFT_OUT_ID "\"");
}

/* What stands in place of the outputs of a cell whose own are gone. */
static Slice substitute(void) {
        return SLICE_LITERAL("[{\"output_type\":\"stream\",\"name\":\"stderr\",\"text\":\"[The "
                             "outputs are left out: the notebook had grown too "
                             "large.]\\n\"}]");
}

/* How many bytes are saved by leaving the outputs out. */
static size_t outputs_saving(Slice cell) {
        JsonItem outputs;

        if (!find_member(cell, "outputs", &outputs) || outputs.value.size <= substitute().size)
                return 0;
        return outputs.value.size - substitute().size;
}

static int append_slice(Buffer *out, Slice text) {
        return buffer_append(out, text.data, text.size);
}

static int append_without_outputs(Buffer *out, Slice cell) {
        JsonItem outputs;
        const uint8_t *rest;
        int r;

        if (!find_member(cell, "outputs", &outputs))
                return append_slice(out, cell);
        rest = outputs.value.data + outputs.value.size;
        r = append_slice(out, slice_of(cell.data, (size_t) (outputs.value.data - cell.data)));
        if (r == 0)
                r = append_slice(out, substitute());
        if (r == 0)
                r = append_slice(out, slice_of(rest, (size_t) (cell.data + cell.size - rest)));
        return r;
}

/* Decides from the oldest cell on. Returns whether cells are gone, now or before. */
static bool decide(Line *cells, size_t n_cells, size_t target) {
        bool some_are_gone = n_cells > 0 && tells_what_is_gone(cells[0].text);
        size_t total = 0;

        for (size_t i = 0; i < n_cells; i++)
                total += cells[i].text.size + 1;
        if (some_are_gone) {
                total -= cells[0].text.size + 1;
                cells[0].fate = GONE;
        }
        for (size_t i = 0; i < n_cells && total > target; i++) {
                size_t saving = cells[i].fate == GONE ? 0 : outputs_saving(cells[i].text);

                if (saving > 0)
                        cells[i].fate = WITHOUT_OUTPUTS;
                total -= saving;
        }
        for (size_t i = 0; i < n_cells && total > target; i++) {
                if (cells[i].fate == GONE)
                        continue;
                total -= cells[i].text.size + 1;
                if (cells[i].fate == WITHOUT_OUTPUTS)
                        total += outputs_saving(cells[i].text);
                cells[i].fate = GONE;
                some_are_gone = true;
        }
        return some_are_gone;
}

static int write_lines(const Line *cells, size_t n_cells, bool some_are_gone, Buffer *out) {
        int r = 0;

        if (some_are_gone) {
                r = notebook_write_note(
                        LEFT_OUT_ID,
                        "*Older cells are left out: the notebook had grown too large.*", out);
                if (r == 0)
                        r = buffer_append(out, "\n", 1);
        }
        for (size_t i = 0; i < n_cells && r == 0; i++) {
                if (cells[i].fate == GONE)
                        continue;
                r = cells[i].fate == KEPT ? append_slice(out, cells[i].text)
                                          : append_without_outputs(out, cells[i].text);
                if (r == 0)
                        r = buffer_append(out, "\n", 1);
        }
        return r;
}

int notebook_trim(Slice lines, size_t target, Buffer *out) {
        size_t n_cells = 0, i = 0;
        Slice rest = lines, cell;
        _autofree_ Line *cells = NULL;

        while (next_cell(&rest, &cell))
                n_cells++;
        cells = calloc(n_cells + 1, sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        rest = lines;
        while (next_cell(&rest, &cell))
                cells[i++].text = cell;
        return write_lines(cells, n_cells, decide(cells, n_cells, target), out);
}

static void write_frame(JsonWriter *writer, const char *python_version) {
        json_key(writer, "metadata");
        json_begin_object(writer);
        json_key(writer, "kernelspec");
        json_begin_object(writer);
        json_key(writer, "name");
        json_literal(writer, "python3");
        json_key(writer, "display_name");
        json_literal(writer, "Python 3");
        json_key(writer, "language");
        json_literal(writer, "python");
        json_end_object(writer);
        json_key(writer, "language_info");
        json_begin_object(writer);
        json_key(writer, "name");
        json_literal(writer, "python");
        json_key(writer, "version");
        json_literal(writer, python_version);
        json_key(writer, "mimetype");
        json_literal(writer, "text/x-python");
        json_key(writer, "file_extension");
        json_literal(writer, ".py");
        json_key(writer, "pygments_lexer");
        json_literal(writer, "python3");
        json_end_object(writer);
        json_end_object(writer);
        json_key(writer, "nbformat");
        json_integer(writer, 4);
        json_key(writer, "nbformat_minor");
        json_integer(writer, 5);
}

int notebook_frame(Slice lines, const char *python_version, Buffer *out) {
        JsonWriter writer = JSON_WRITER(out);
        Slice cell;
        int r = buffer_reserve(out, lines.size + 1024);

        if (r < 0)
                return r;
        json_begin_object(&writer);
        json_key(&writer, "cells");
        json_begin_array(&writer);
        while (next_cell(&lines, &cell))
                json_raw(&writer, cell);
        json_end_array(&writer);
        write_frame(&writer, python_version);
        json_end_object(&writer);
        return writer.error;
}
