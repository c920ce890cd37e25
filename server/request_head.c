#include "server/request_head.h"

#include <strings.h>

#include "server/framing.h"

#define LENGTH_DIGITS_MAX 18

/* The end of the line that begins at from, without CR LF; *ret_next is where the next one begins.
 * libh2o's parser takes a line feed alone for the end of a line, too. */
static size_t line_end(Slice input, size_t from, size_t *ret_next) {
        const uint8_t *feed = memchr(input.data + from, '\n', input.size - from);
        size_t end;

        if (!feed)
                return SIZE_MAX;
        end = (size_t) (feed - input.data);
        *ret_next = end + 1;
        return end > from && input.data[end - 1] == '\r' ? end - 1 : end;
}

static bool is_named(Slice line, const char *name) {
        size_t size = strlen(name);

        return line.size > size && line.data[size] == ':' &&
               strncasecmp((const char *) line.data, name, size) == 0;
}

static Slice value_of(Slice line) {
        const uint8_t *at = memchr(line.data, ':', line.size);
        const uint8_t *end = line.data + line.size;

        for (at++; at < end && (*at == ' ' || *at == '\t');)
                at++;
        return slice_of(at, (size_t) (end - at));
}

static bool value_is(Slice value, const char *text) {
        return value.size == strlen(text) &&
               strncasecmp((const char *) value.data, text, value.size) == 0;
}

static bool read_length(Slice value, uint64_t *ret_length) {
        uint64_t length = 0;

        if (value.size == 0 || value.size > LENGTH_DIGITS_MAX)
                return false;
        for (size_t i = 0; i < value.size; i++) {
                if (value.data[i] < '0' || value.data[i] > '9')
                        return false;
                length = 10 * length + (uint64_t) (value.data[i] - '0');
        }
        *ret_length = length;
        return true;
}

/* "PUT /v1/… HTTP/1.1" */
static bool read_request_line(Slice line, RequestHead *head) {
        static const char version[] = " HTTP/1.";
        const uint8_t *space = memchr(line.data, ' ', line.size);
        size_t tail = sizeof(version); /* with its last digit */

        if (!space || space == line.data || line.size < tail ||
            memcmp(line.data + line.size - tail, version, tail - 1) != 0)
                return false;
        head->method = slice_of(line.data, (size_t) (space - line.data));
        if (space + 1 >= line.data + line.size - tail)
                return false;
        head->target = slice_of(space + 1, line.size - tail - head->method.size - 1);
        return !memchr(head->target.data, ' ', head->target.size);
}

static bool read_field(Slice input, size_t at, size_t end, RequestHead *head) {
        Slice line = slice_of(input.data + at, end - at);

        if (is_named(line, "content-length")) {
                head->framing_at = at;
                head->framing_size = end - at;
                return read_length(value_of(line), &head->content_length);
        }
        if (is_named(line, "transfer-encoding")) {
                head->framing_at = at;
                head->framing_size = end - at;
                head->is_chunked = true;
                return value_is(value_of(line), "chunked");
        }
        if (is_named(line, "expect")) {
                if (head->expects_continue)
                        return false;
                head->expect_at = at;
                head->expects_continue = true;
                return value_is(value_of(line), "100-continue");
        }
        return true;
}

void request_head_read(Slice input, RequestHead *ret_head) {
        size_t at = 0, next, end;
        bool is_plain;

        *ret_head = (RequestHead){0};
        /* One empty line before a request is passed over by libh2o. */
        if (input.size >= 2 && memcmp(input.data, "\r\n", 2) == 0)
                at = 2;
        end = line_end(input, at, &next);
        if (end == SIZE_MAX)
                return;
        is_plain = read_request_line(slice_of(input.data + at, end - at), ret_head);
        for (at = next; (end = line_end(input, at, &next)) != SIZE_MAX && end > at; at = next)
                is_plain = is_plain && read_field(input, at, end, ret_head);
        if (end == SIZE_MAX)
                return;
        ret_head->size = next;
        ret_head->is_plain = is_plain && !framing_problem_of_head(slice_of(input.data, next));
}

void request_head_disarm(const RequestHead *head, uint8_t *bytes) {
        static const char name[] = "content-length:";

        if (head->framing_size > 0) {
                /* Leading blanks of a value are passed over; trailing ones are not. */
                memset(bytes + head->framing_at, ' ', head->framing_size);
                memcpy(bytes + head->framing_at, name, sizeof(name) - 1);
                bytes[head->framing_at + head->framing_size - 1] = '0';
        }
        if (head->expects_continue)
                memcpy(bytes + head->expect_at, "x-wait", 6);
}
