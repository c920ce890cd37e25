#include "server/api/reader.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "jsontext/utf8.h"
#include "kit/base64.h"

/* Where an offset lies, as an editor counts: both from 1, columns in bytes. */
static void find_line(Slice text, size_t offset, size_t *ret_line, size_t *ret_column) {
        size_t line = 1, start = 0;

        for (size_t i = 0; i < offset && i < text.size; i++) {
                if (text.data[i] == '\n') {
                        line++;
                        start = i + 1;
                }
        }
        *ret_line = line;
        *ret_column = offset - start + 1;
}

/* As multipart, or urlencoded: "name=…". The type that was sent says nothing: curl calls all that
 * it sends a form, unless it is told otherwise. */
static bool looks_like_form(Slice body) {
        size_t size = 0;

        if (body.size > 2 && memcmp(body.data, "--", 2) == 0)
                return true;
        while (size < body.size && (isalnum(body.data[size]) || strchr("_-.%[]", body.data[size])))
                size++;
        return size > 0 && size < body.size && body.data[size] == '=';
}

/* What a body that is no JSON is instead, where that is a common mistake of clients; NULL: unknown.
 */
static const char *what_it_is(Slice body) {
        static const struct {
                const char *beginning, *said;
        } kinds[] = {
                {"\xef\xbb\xbf", "it begins with a byte order mark. Leave that out"},
                {"\x1f\x8b", "it is compressed. Send it as it is"},
                {"\xff\xfe", "it is UTF-16. JSON is sent as UTF-8"},
                {"\xfe\xff", "it is UTF-16. JSON is sent as UTF-8"},
        };

        for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
                size_t size = strlen(kinds[i].beginning);

                if (body.size >= size && memcmp(body.data, kinds[i].beginning, size) == 0)
                        return kinds[i].said;
        }
        if (looks_like_form(body))
                return "it looks like a form. This takes a JSON object, like {\"name\": \"value\"}";
        return NULL;
}

bool reader_start(Reader *reader, Slice body) {
        const char *is_instead;
        JsonError problem;
        size_t line, column;

        *reader = (Reader){.body = body};
        problem = json_check(body, 0);
        if (problem.problem == JSON_EMPTY)
                return reader_fail(reader, 400, "",
                                   "The body is empty; a JSON object was expected.");
        is_instead = problem.problem != JSON_FINE ? what_it_is(body) : NULL;
        if (is_instead)
                return reader_fail(reader, 400, "", "The body is not valid JSON: %s.", is_instead);
        if (problem.problem != JSON_FINE) {
                find_line(body, problem.offset, &line, &column);
                return reader_fail(
                        reader, 400, "",
                        "The body is not valid JSON: %s, at line %zu, column %zu (byte %zu).",
                        json_problem_text(problem.problem), line, column, problem.offset);
        }
        if (json_kind(body) != JSON_OBJECT)
                return reader_fail(reader, 422, "", "The body must be a JSON object.");
        return true;
}

void reader_done(Reader *reader) {
        free(reader->texts);
        reader->texts = NULL;
}

bool reader_fail(Reader *reader, int status, const char *field, const char *format, ...) {
        va_list arguments;

        reader->error.status = status;
        (void) snprintf(reader->error.field, sizeof(reader->error.field), "%s", field);
        va_start(arguments, format);
        (void) vsnprintf(reader->error.text, sizeof(reader->error.text), format, arguments);
        va_end(arguments);
        return false;
}

bool reader_inside(Reader *reader, const char *format, ...) {
        char inner[READER_FIELD_MAX];
        va_list arguments;
        size_t used;

        memcpy(inner, reader->error.field, sizeof(inner));
        va_start(arguments, format);
        (void) vsnprintf(reader->error.field, sizeof(reader->error.field), format, arguments);
        va_end(arguments);
        used = strlen(reader->error.field);
        if (inner[0] != '\0')
                (void) snprintf(reader->error.field + used, sizeof(reader->error.field) - used,
                                "%s%.*s", inner[0] == '[' ? "" : ".", READER_FIELD_MAX - 2, inner);
        return false;
}

static const char *kind_name(JsonKind kind) {
        switch (kind) {
        case JSON_OBJECT:
                return "an object";
        case JSON_ARRAY:
                return "an array";
        case JSON_STRING:
                return "a string";
        case JSON_NUMBER:
                return "a number";
        case JSON_TRUE:
                return "true";
        case JSON_FALSE:
                return "false";
        case JSON_NULL:
                return "null";
        }
        assert(false);
        return "";
}

bool reader_expect(Reader *reader, const JsonItem *item, JsonKind kind, const char *field) {
        if (item->kind == kind)
                return true;
        return reader_fail(reader, 422, field, "This must be %s, not %s.", kind_name(kind),
                           kind_name(item->kind));
}

bool reader_count(Reader *reader, const JsonItem *item, const char *field, size_t maximum,
                  size_t *ret_count) {
        JsonCursor cursor;
        JsonItem ignored;
        size_t count = 0;

        if (json_enter(item->value, &cursor)) {
                while (count <= maximum && json_next(&cursor, &ignored))
                        count++;
        }
        if (count > maximum)
                return reader_fail(reader, 422, field, "There may be at most %zu of these.",
                                   maximum);
        *ret_count = count;
        return true;
}

void *reader_allocate(Reader *reader, size_t count, size_t size) {
        void *memory = calloc(count, size);

        if (!memory)
                (void) reader_fail(reader, 503, "",
                                   "The server has no memory for this request right now.");
        return memory;
}

/* Room for size more bytes of text. A body of n bytes holds strings of at most n bytes, and each is
 * decoded at most twice (its escapes, then its base64), so twice the body is always enough; what is
 * not written to is never backed by memory. */
static uint8_t *texts_room(Reader *reader, size_t size) {
        if (!reader->texts) {
                reader->texts = malloc(2 * reader->body.size);
                if (!reader->texts) {
                        (void) reader_fail(reader, 503, "",
                                           "The server has no memory for this request right now.");
                        return NULL;
                }
        }
        assert(size <= 2 * reader->body.size - reader->texts_used);
        return reader->texts + reader->texts_used;
}

static bool read_inside(Reader *reader, Slice inside, const char *field, Slice *ret_text) {
        bool lone = false;
        uint8_t *out;
        size_t size;

        if (inside.size == 0 || !memchr(inside.data, '\\', inside.size)) {
                *ret_text = inside;
                return true;
        }
        out = texts_room(reader, inside.size);
        if (!out)
                return false;
        size = reader_unescape(inside, out, &lone);
        if (lone)
                return reader_fail(
                        reader, 400, field,
                        "This holds half of a surrogate pair (\\ud800 to \\udfff without its "
                        "other half), which stands for no character.");
        reader->texts_used += size;
        *ret_text = slice_of(out, size);
        return true;
}

bool reader_text(Reader *reader, const JsonItem *item, const char *field, Slice *ret_text) {
        if (!reader_expect(reader, item, JSON_STRING, field))
                return false;
        assert(item->value.size >= 2);
        return read_inside(reader, slice_of(item->value.data + 1, item->value.size - 2), field,
                           ret_text);
}

bool reader_key(Reader *reader, const JsonItem *item, const char *field, Slice *ret_key) {
        return read_inside(reader, item->key, field, ret_key);
}

bool reader_base64(Reader *reader, const JsonItem *item, const char *field, Slice *ret_bytes) {
        Buffer out;
        Slice text;
        uint8_t *room;

        if (!reader_text(reader, item, field, &text))
                return false;
        room = texts_room(reader, text.size / 4 * 3);
        if (!room)
                return false;
        /* A buffer that is full at its limit never reallocates, so it may look at memory of ours.
         */
        out = (Buffer){.data = room, .capacity = text.size / 4 * 3, .limit = text.size / 4 * 3};
        if (base64_decode(text, &out) < 0)
                return reader_fail(
                        reader, 422, field,
                        "This must be base64 (RFC 4648 section 4: A-Z a-z 0-9 + /, with padding, "
                        "without line breaks).");
        reader->texts_used += out.size;
        *ret_bytes = buffer_slice(&out);
        return true;
}

bool reader_whole_number(Reader *reader, const JsonItem *item, const char *field, uint64_t minimum,
                         uint64_t maximum, uint64_t *ret_number) {
        uint64_t number = 0;
        bool negative;

        if (!reader_expect(reader, item, JSON_NUMBER, field))
                return false;
        negative = item->value.data[0] == '-';
        for (size_t i = negative ? 1 : 0; i < item->value.size; i++) {
                uint8_t c = item->value.data[i];

                if (c < '0' || c > '9')
                        return reader_fail(reader, 422, field,
                                           "This must be a whole number, written in digits alone.");
                if (__builtin_mul_overflow(number, 10U, &number) ||
                    __builtin_add_overflow(number, (uint64_t) (c - '0'), &number))
                        number = UINT64_MAX;
        }
        if ((negative && number > 0) || number < minimum)
                return reader_fail(reader, 422, field, "This must be at least %llu.",
                                   (unsigned long long) minimum);
        if (number > maximum)
                return reader_fail(reader, 422, field, "This may be at most %llu here.",
                                   (unsigned long long) maximum);
        *ret_number = number;
        return true;
}

/* The name of a member for a sentence: what came, cut to a length that fits, never in the middle of
 * a character. */
static Slice shown(Slice name) {
        Slice cut = slice_of(name.data, name.size < 64 ? name.size : 64);

        return slice_of(cut.data, utf8_valid_prefix(cut));
}

static bool fail_unknown(Reader *reader, Slice key, const Member *members, size_t n_members) {
        const char *nearest = reader_nearest(key, members, n_members);
        Slice name = shown(key);
        char field[READER_FIELD_MAX];

        (void) snprintf(field, sizeof(field), "%.*s", (int) name.size, (const char *) name.data);
        if (nearest)
                return reader_fail(reader, 422, field,
                                   "There is no member of this name; did you mean \"%s\"?",
                                   nearest);
        return reader_fail(reader, 422, field, "There is no member of this name.");
}

/* Keys of the tables are plain ASCII, so a key with escapes is compared once they are undone. */
static bool find_member(Reader *reader, const JsonItem *item, const Member *members,
                        size_t n_members, Slice *ret_key, size_t *ret_index) {
        *ret_key = item->key;
        if (item->key_has_escapes && !reader_key(reader, item, "", ret_key))
                return false;
        for (*ret_index = 0; *ret_index < n_members; (*ret_index)++) {
                if (slice_equals(*ret_key, members[*ret_index].name))
                        break;
        }
        return true;
}

bool reader_object(Reader *reader, Slice object, const Member *members, size_t n_members,
                   bool ignore_unknown, void *target) {
        JsonCursor cursor;
        JsonItem item;
        uint32_t seen = 0;
        size_t i;
        Slice key;

        assert(n_members <= READER_MEMBERS_MAX);
        if (!json_enter(object, &cursor))
                return reader_fail(reader, 422, "", "This must be an object.");
        while (json_next(&cursor, &item)) {
                if (!find_member(reader, &item, members, n_members, &key, &i))
                        return false;
                if (i == n_members) {
                        if (ignore_unknown)
                                continue;
                        return fail_unknown(reader, key, members, n_members);
                }
                if (seen & (1U << i))
                        return reader_fail(
                                reader, 400, members[i].name,
                                "This member occurs twice; it is unclear which one is meant.");
                seen |= 1U << i;
                if (item.kind != JSON_NULL && !members[i].read(reader, target, &item))
                        return false;
        }
        return true;
}
