#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "response.h"

/* The longest head that is worth waiting for. */
#define HEAD_SIZE_MAX (64U << 10)

/* Returns the value of a header line when it has that name, else NULL. The name ends with its
 * colon. */
static const char *value_of(const char *line, const char *name) {
        size_t size = strlen(name);

        if (strncasecmp(line, name, size) != 0)
                return NULL;
        line += size;
        return line + strspn(line, " \t");
}

static int parse_head(Response *response, char *head) {
        char *rest = NULL;
        char *line = strtok_r(head, "\r\n", &rest);
        bool has_length = false;

        if (line == NULL || strncmp(line, "HTTP/1.1 ", 9) != 0)
                return -EPROTO;
        response->status = atoi(line + 9);
        while ((line = strtok_r(NULL, "\r\n", &rest)) != NULL) {
                const char *value;

                if ((value = value_of(line, "content-length:")) != NULL) {
                        response->body_size = strtoull(value, NULL, 10);
                        has_length = true;
                } else if ((value = value_of(line, "transfer-encoding:")) != NULL)
                        response->chunked = strcasecmp(value, "chunked") == 0;
                else if ((value = value_of(line, "connection:")) != NULL)
                        response->closes = strcasecmp(value, "close") == 0;
        }
        return has_length || response->chunked ? 0 : -EPROTO;
}

/* Takes over every chunk that is there as a whole. */
static int advance_chunks(Response *response) {
        for (;;) {
                const char *start = (const char *) response->received.data + response->chunk_offset;
                size_t left = response->received.size - response->chunk_offset;
                const char *line_end = memmem(start, left, "\r\n", 2);
                size_t size, whole;

                if (line_end == NULL)
                        return RESPONSE_INCOMPLETE;
                if (!isxdigit((unsigned char) *start))
                        return -EPROTO;
                size = strtoull(start, NULL, 16);
                whole = (size_t) (line_end + 2 - start) + size + 2;
                if (size > RESPONSE_BYTES_MAX)
                        return -EPROTO;
                if (left < whole)
                        return RESPONSE_INCOMPLETE;
                if (buffer_append(&response->unchunked, line_end + 2, size) < 0)
                        return -EPROTO;
                response->chunk_offset += whole;
                if (size == 0)
                        return response->chunk_offset == response->received.size ? RESPONSE_COMPLETE
                                                                                 : -EPROTO;
        }
}

static int advance_head(Response *response) {
        _autofree_ char *head = NULL;
        const char *end = memmem(response->received.data, response->received.size, "\r\n\r\n", 4);

        if (end == NULL)
                return response->received.size > HEAD_SIZE_MAX ? -EPROTO : 0;
        response->head_size = (size_t) (end + 4 - (const char *) response->received.data);
        response->chunk_offset = response->head_size;
        head = strndup((const char *) response->received.data, response->head_size);
        return head == NULL ? -EPROTO : parse_head(response, head);
}

int response_advance(Response *response) {
        int r;

        if (response->head_size == 0) {
                r = advance_head(response);
                if (r < 0)
                        return r;
                if (response->head_size == 0)
                        return RESPONSE_INCOMPLETE;
        }
        if (response->chunked)
                return advance_chunks(response);
        if (response->received.size > response->head_size + response->body_size)
                return -EPROTO;
        return response->received.size == response->head_size + response->body_size
                       ? RESPONSE_COMPLETE
                       : RESPONSE_INCOMPLETE;
}

Slice response_body(const Response *response) {
        if (response->chunked)
                return buffer_slice(&response->unchunked);
        return slice_of(response->received.data + response->head_size, response->body_size);
}

void response_reset(Response *response) {
        Buffer received = response->received, unchunked = response->unchunked;

        received.size = 0;
        unchunked.size = 0;
        *response = (Response){.received = received, .unchunked = unchunked};
}

void response_done(Response *response) {
        buffer_done(&response->received);
        buffer_done(&response->unchunked);
}
