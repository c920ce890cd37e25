#include "server/multipart.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "server/multipart_head.h"

bool multipart_complain(Multipart *multipart, int status, const char *format, ...) {
        va_list arguments;

        multipart->status = status;
        va_start(arguments, format);
        (void) vsnprintf(multipart->complaint, sizeof(multipart->complaint), format, arguments);
        va_end(arguments);
        return false;
}

bool multipart_start(Multipart *multipart, Slice content_type) {
        size_t at = 0, size = 0;
        uint8_t value[1024];
        Slice name;
        int r;

        memset(multipart, 0, offsetof(Multipart, part));
        while (at < content_type.size && content_type.data[at] != ';')
                at++;
        if (content_type.size - at > sizeof(value))
                return multipart_complain(multipart, 400, "The Content-Type is too long.");
        while ((r = header_parameter(content_type, &at, &name, value, &size)) > 0) {
                if (name.size == 8 && strncasecmp((const char *) name.data, "boundary", 8) == 0)
                        break;
        }
        if (r <= 0 || size == 0)
                return multipart_complain(multipart, 400,
                                          "The Content-Type names no boundary; it has to say "
                                          "multipart/form-data; boundary=...");
        if (size > MULTIPART_BOUNDARY_MAX || memchr(value, '\n', size) ||
            memchr(value, '\r', size) || memchr(value, '\0', size))
                return multipart_complain(multipart, 400,
                                          "The boundary in the Content-Type is too long, or has a "
                                          "line break in it.");
        memcpy(multipart->delimiter, "--", 2);
        memcpy(multipart->delimiter + 2, value, size);
        multipart->delimiter_size = size + 2;
        return true;
}

/* What follows a boundary in its line. */
typedef enum Rest {
        REST_LINE,  /* nothing: a part begins after the line */
        REST_CLOSE, /* "--": the last one */
        REST_OTHER, /* something: it is no delimiter */
        REST_CUT,   /* the window ends before that is known */
} Rest;

static Rest rest_of_delimiter(Slice window, size_t at, bool is_last, size_t *ret_next,
                              bool *ret_bare_feed) {
        if (at + 2 <= window.size && memcmp(window.data + at, "--", 2) == 0) {
                *ret_next = at + 2;
                return REST_CLOSE;
        }
        if (at + 1 == window.size && window.data[at] == '-' && !is_last)
                return REST_CUT;
        while (at < window.size && (window.data[at] == ' ' || window.data[at] == '\t'))
                at++;
        *ret_bare_feed = at < window.size && window.data[at] == '\n';
        if (at < window.size && window.data[at] == '\r')
                at++;
        if (at == window.size)
                return is_last ? REST_OTHER : REST_CUT;
        *ret_next = at + 1;
        return window.data[at] == '\n' ? REST_LINE : REST_OTHER;
}

typedef struct Delimiter {
        size_t start; /* of the line break before it, which belongs to it */
        size_t next;  /* the byte after it */
        bool is_close, bare_feed;
} Delimiter;

/* Where the line break before at begins; SIZE_MAX: there is none. */
static size_t line_break_before(const Multipart *multipart, Slice window, size_t at) {
        if (at == 0 || window.data[at - 1] != '\n')
                return SIZE_MAX;
        if (multipart->state == MULTIPART_PREAMBLE)
                return at - 1;
        if (multipart->bare_feeds)
                return at - 1;
        return at >= 2 && window.data[at - 2] == '\r' ? at - 2 : SIZE_MAX;
}

/* Finds the first delimiter. Without one, ret->start is what may be passed over: a delimiter cannot
 * begin before it. */
static bool find_delimiter(const Multipart *multipart, Slice window, bool is_last, bool at_start,
                           Delimiter *ret) {
        size_t size = multipart->delimiter_size;
        size_t from = 0;

        for (;;) {
                const uint8_t *found =
                        memmem(window.data + from, window.size - from, multipart->delimiter, size);
                size_t at = found ? (size_t) (found - window.data) : 0;
                Rest rest;

                if (!found)
                        break;
                from = at + 1;
                ret->start = at == 0 && at_start ? 0 : line_break_before(multipart, window, at);
                if (ret->start == SIZE_MAX)
                        continue;
                rest = rest_of_delimiter(window, at + size, is_last, &ret->next, &ret->bare_feed);
                if (rest == REST_OTHER)
                        continue;
                /* Padding is transport's, and short. */
                if (rest == REST_CUT) {
                        if (window.size - at > MULTIPART_HEAD_MAX)
                                continue;
                        return false;
                }
                ret->is_close = rest == REST_CLOSE;
                return true;
        }
        ret->start = window.size > size + 2 ? window.size - size - 2 : 0;
        if (is_last)
                ret->start = window.size;
        return false;
}

/* The head ends with an empty line; an empty head is just that line. */
static MultipartResult take_head(Multipart *multipart, Slice window, bool is_last) {
        size_t limit = window.size < MULTIPART_HEAD_MAX ? window.size : MULTIPART_HEAD_MAX;
        size_t line = 0;

        for (size_t i = 0; i < limit; i++) {
                size_t end = i > line && window.data[i - 1] == '\r' ? i - 1 : i;

                if (window.data[i] != '\n')
                        continue;
                if (end > line) {
                        line = i + 1;
                        continue;
                }
                if (!multipart_head_read(multipart, slice_of(window.data, line)))
                        return MULTIPART_BAD;
                multipart->position += i + 1;
                multipart->part.offset = multipart->position;
                multipart->state = MULTIPART_CONTENT;
                return MULTIPART_MORE;
        }
        if (limit == MULTIPART_HEAD_MAX)
                (void) multipart_complain(multipart, 400,
                                          "The headers of a part are longer than %u bytes.",
                                          MULTIPART_HEAD_MAX);
        else
                (void) multipart_complain(multipart, 400,
                                          "The form ends within the headers of a part.");
        return limit == MULTIPART_HEAD_MAX || is_last ? MULTIPART_BAD : MULTIPART_MORE;
}

static MultipartResult take_until_delimiter(Multipart *multipart, Slice window, bool is_last) {
        bool in_part = multipart->state == MULTIPART_CONTENT;
        /* A part of no bytes: the line break that ends its head is its delimiter's too. */
        bool at_start =
                in_part ? multipart->position == multipart->part.offset : multipart->position == 0;
        Delimiter delimiter = {0};

        if (!find_delimiter(multipart, window, is_last, at_start, &delimiter)) {
                if (is_last) {
                        (void) multipart_complain(
                                multipart, 400,
                                "The form ends without the boundary that closes it, which is "
                                "\"%.100s--\".",
                                multipart->delimiter);
                        return MULTIPART_BAD;
                }
                multipart->position += delimiter.start;
                return MULTIPART_MORE;
        }
        multipart->part.size = multipart->position + delimiter.start - multipart->part.offset;
        multipart->position += delimiter.next;
        multipart->state = delimiter.is_close ? MULTIPART_EPILOGUE : MULTIPART_HEAD;
        if (!in_part)
                multipart->bare_feeds = delimiter.bare_feed;
        return in_part ? MULTIPART_PART : MULTIPART_MORE;
}

MultipartResult multipart_next(Multipart *multipart, Slice window, bool is_last) {
        assert(is_last || window.size >= MULTIPART_WINDOW_MIN);
        for (;;) {
                uint64_t before = multipart->position;
                MultipartResult result;
                size_t passed;

                if (multipart->state == MULTIPART_EPILOGUE)
                        return MULTIPART_END;
                if (multipart->state == MULTIPART_HEAD)
                        result = take_head(multipart, window, is_last);
                else
                        result = take_until_delimiter(multipart, window, is_last);
                if (result != MULTIPART_MORE)
                        return result;
                passed = (size_t) (multipart->position - before);
                window = slice_of(window.data + passed, window.size - passed);
                /* What is left may be too short to go on with. */
                if (!is_last && window.size < MULTIPART_WINDOW_MIN)
                        return MULTIPART_MORE;
        }
}
