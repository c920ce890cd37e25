/* JSON that a client sends as data, or a worker as a document: any bytes. And bytes that a snippet
 * printed. */
#include "jsontext/scan.h"
#include "jsontext/utf8.h"
#include "jsontext/write.h"

#include <string.h>

#include "fuzz.h"

/* Between two items, and around them, only these stand. */
static void check_gap(const uint8_t *from, const uint8_t *to, const char *allowed) {
        must(from <= to);
        for (; from < to; from++)
                must(*from != '\0' && strchr(allowed, *from));
}

static void check_item(const JsonItem *item, unsigned flags) {
        JsonError error = json_check(item->value, flags);

        must(error.problem == JSON_FINE);
        must(item->kind == json_kind(item->value));
        must(!strchr(" \t\r\n", item->value.data[0]));
        must(!strchr(" \t\r\n", item->value.data[item->value.size - 1]));
        must(utf8_valid_prefix(item->key) == item->key.size);
        if (item->key.size > 0)
                must(item->key_has_escapes ==
                     (memchr(item->key.data, '\\', item->key.size) != NULL));
}

/* Recursion is bounded, since json_check() refuses what is nested more deeply. */
static void check_walk(Slice text, unsigned flags, unsigned depth) {
        const uint8_t *at = text.data, *end = text.data + text.size;
        JsonCursor cursor;
        JsonItem item;

        must(depth <= JSON_DEPTH_MAX);
        if (!json_enter(text, &cursor))
                return;
        check_gap(at, cursor.rest.data, " \t\r\n{[");
        at = cursor.rest.data;
        while (json_next(&cursor, &item)) {
                if (cursor.container == JSON_OBJECT) {
                        check_gap(at, item.key.data, " \t\r\n,\"");
                        at = item.key.data + item.key.size;
                }
                check_gap(at, item.value.data, " \t\r\n,:\"");
                at = item.value.data + item.value.size;
                check_item(&item, flags);
                check_walk(item.value, flags, depth + 1);
        }
        check_gap(at, end, " \t\r\n}]");
}

/* Nothing was proven about this text: the walk need only stay inside it and end. */
static void check_careless_walk(Slice text) {
        JsonCursor cursor;
        JsonItem item;
        size_t n = 0;

        if (!json_enter(text, &cursor))
                return;
        while (json_next(&cursor, &item)) {
                must(item.value.size > 0 && item.value.data >= text.data);
                must(item.value.data + item.value.size <= text.data + text.size);
                must(++n <= text.size);
        }
}

static void check_written(const JsonWriter *writer) {
        must(writer->error == 0);
        must(json_is(buffer_slice(writer->out), JSON_STRING, JSON_REFUSE_LONE_SURROGATES));
}

static void check_writer(Slice text) {
        _cleanup_(buffer_done) Buffer whole = {0}, pieces = {0}, cut = {0};
        JsonWriter whole_writer = JSON_WRITER(&whole);
        JsonWriter pieces_writer = JSON_WRITER(&pieces);
        JsonWriter cut_writer = JSON_WRITER(&cut);
        Slice head = slice_of(text.data, text.size / 2);
        Slice tail = slice_of(text.data + head.size, text.size - head.size);

        json_text(&whole_writer, text);
        check_written(&whole_writer);

        json_text_pieces(&pieces_writer, head, SLICE_NULL, tail);
        check_written(&pieces_writer);
        must(pieces.size == whole.size && memcmp(pieces.data, whole.data, whole.size) == 0);

        json_text_pieces(&cut_writer, head, SLICE_LITERAL("\n"), tail);
        check_written(&cut_writer);
}

/* The first byte chooses the flags. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned flags;
        JsonError error;
        Slice text;

        if (size == 0)
                return 0;
        flags = data[0] & (JSON_REFUSE_LONE_SURROGATES | JSON_ALLOW_NAN);
        text = slice_of(data + 1, size - 1);

        error = json_check(text, flags);
        must(error.offset <= text.size);
        if (error.problem == JSON_FINE)
                check_walk(text, flags, 0);
        else
                check_careless_walk(text);
        check_writer(text);
        return 0;
}
