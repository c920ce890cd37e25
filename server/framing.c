#include "server/framing.h"

#include <strings.h>

static bool line_begins(const uint8_t *line, size_t size, const char *name) {
        size_t name_size = strlen(name);

        return size >= name_size && strncasecmp((const char *) line, name, name_size) == 0;
}

const char *framing_problem_of_head(Slice head) {
        const uint8_t *at = head.data;
        const uint8_t *end = head.data + head.size;
        unsigned lengths = 0, encodings = 0;
        bool is_request_line = true;

        /* Empty lines before a request are allowed. */
        while (at < end && (*at == '\r' || *at == '\n'))
                at++;
        while (at < end) {
                const uint8_t *feed = memchr(at, '\n', (size_t) (end - at));
                size_t size = (size_t) ((feed ? feed : end) - at);

                if (size == 0 || (size == 1 && *at == '\r'))
                        break;
                if (!is_request_line && (*at == ' ' || *at == '\t'))
                        return "A header field goes on in a second line, which RFC 9112 forbids.";
                lengths += line_begins(at, size, "content-length:");
                encodings += line_begins(at, size, "transfer-encoding:");
                is_request_line = false;
                at += size + 1;
        }
        if (lengths > 1)
                return "The request has more than one Content-Length.";
        if (encodings > 1)
                return "The request has more than one Transfer-Encoding.";
        if (lengths > 0 && encodings > 0)
                return "The request has both Content-Length and Transfer-Encoding.";
        return NULL;
}

const char *framing_problem(h2o_req_t *req) {
        h2o_socket_t *sock;

        if (req->version >= 0x200)
                return NULL;
        sock = req->conn->callbacks->get_socket(req->conn);
        return framing_problem_of_head(slice_of(sock->input->bytes, sock->input->size));
}
