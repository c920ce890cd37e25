#include "server/respond.h"

#include <stdarg.h>
#include <stdio.h>

#include "jsontext/write.h"
#include "kit/log.h"
#include "server/request.h"

#define ERROR_TEXT_MAX 2048

const char *respond_reason(int status) {
        switch (status) {
        case 200:
                return "OK";
        case 201:
                return "Created";
        case 204:
                return "No Content";
        case 206:
                return "Partial Content";
        case 304:
                return "Not Modified";
        case 400:
                return "Bad Request";
        case 401:
                return "Unauthorized";
        case 403:
                return "Forbidden";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 408:
                return "Request Timeout";
        case 409:
                return "Conflict";
        case 411:
                return "Length Required";
        case 412:
                return "Precondition Failed";
        case 413:
                return "Content Too Large";
        case 415:
                return "Unsupported Media Type";
        case 416:
                return "Range Not Satisfiable";
        case 417:
                return "Expectation Failed";
        case 422:
                return "Unprocessable Content";
        case 429:
                return "Too Many Requests";
        case 499:
                return "Client Closed Request";
        case 500:
                return "Internal Server Error";
        case 502:
                return "Bad Gateway";
        case 503:
                return "Service Unavailable";
        case 504:
                return "Gateway Timeout";
        case 507:
                return "Insufficient Storage";
        default:
                return "Status";
        }
}

/* Sends bytes that live as long as the request. */
static void send_bytes(h2o_req_t *req, int status, const char *content_type, Slice body) {
        static h2o_generator_t generator = {NULL, NULL};
        h2o_iovec_t bytes = {(char *) (uintptr_t) body.data, body.size};
        bool head_only =
                h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));

        request_hold_answer(req, body.size);
        req->res.status = status;
        req->res.reason = respond_reason(status);
        req->res.content_length = body.size;
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, content_type,
                       strlen(content_type));
        h2o_start_response(req, &generator);
        h2o_send(req, &bytes, head_only || body.size == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
}

static void free_kept(void *data) {
        free(*(void **) data);
}

void respond_buffer(h2o_req_t *req, int status, const char *content_type, Buffer *body) {
        void **kept = h2o_mem_alloc_shared(&req->pool, sizeof(*kept), free_kept);
        Slice bytes = buffer_slice(body);

        *kept = body->data;
        body->data = NULL;
        body->size = body->capacity = 0;
        send_bytes(req, status, content_type, bytes);
}

void respond_json(h2o_req_t *req, int status, Buffer *body) {
        respond_buffer(req, status, "application/json", body);
}

void respond_nothing(h2o_req_t *req) {
        req->res.status = 204;
        req->res.reason = respond_reason(204);
        h2o_send_inline(req, "", 0);
}

void respond_bytes(h2o_req_t *req, int status, const char *content_type, Slice body) {
        uint8_t *copy = h2o_mem_alloc_pool(&req->pool, body.size + 1);

        if (body.size > 0)
                memcpy(copy, body.data, body.size);
        send_bytes(req, status, content_type, slice_of(copy, body.size));
}

static void write_problem(JsonWriter *writer, ErrorAnswer answer, const char *detail) {
        json_begin_object(writer);
        json_key(writer, "type");
        json_literal(writer, "about:blank");
        json_key(writer, "title");
        json_literal(writer, respond_reason(answer.status));
        json_key(writer, "status");
        json_integer(writer, answer.status);
        json_key(writer, "detail");
        json_literal(writer, detail);
        if (answer.field) {
                json_key(writer, "field");
                json_literal(writer, answer.field);
        }
        json_end_object(writer);
}

int respond_error_document(Buffer *out, ErrorStyle style, ErrorAnswer answer, const char *detail) {
        JsonWriter writer = JSON_WRITER(out);

        switch (style) {
        case ERRORS_PROBLEM:
                write_problem(&writer, answer, detail);
                break;
        case ERRORS_DETAIL:
                json_begin_object(&writer);
                json_key(&writer, "detail");
                json_literal(&writer, detail);
                json_end_object(&writer);
                break;
        case ERRORS_STATUS_OUTPUT:
                json_begin_object(&writer);
                json_key(&writer, "status");
                json_literal(&writer, "Error");
                json_key(&writer, "output");
                json_literal(&writer, detail);
                json_end_object(&writer);
                break;
        case ERRORS_ERROR:
                json_begin_object(&writer);
                json_key(&writer, "error");
                json_literal(&writer, detail);
                json_end_object(&writer);
                break;
        }
        return writer.error;
}

void respond_error(h2o_req_t *req, ErrorStyle style, ErrorAnswer answer, const char *format, ...) {
        const char *content_type =
                style == ERRORS_PROBLEM ? "application/problem+json" : "application/json";
        Buffer body = BUFFER_INIT(0);
        char detail[ERROR_TEXT_MAX];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(detail, sizeof(detail), format, arguments);
        va_end(arguments);
        if (answer.retry_after_s > 0) {
                char *seconds = h2o_mem_alloc_pool(&req->pool, 16);
                int size = snprintf(seconds, 16, "%u", answer.retry_after_s);

                h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_RETRY_AFTER, NULL, seconds,
                               (size_t) size);
        }
        if (respond_error_document(&body, style, answer, detail) < 0) {
                buffer_done(&body);
                respond_bytes(req, 500, "text/plain", SLICE_LITERAL("out of memory\n"));
                return;
        }
        respond_buffer(req, answer.status, content_type, &body);
}

size_t respond_raw_error(char *ret_bytes, size_t size, ErrorAnswer answer, const char *detail) {
        Buffer document = BUFFER_INIT(0);
        char retry_after[40] = "";
        int n = 0;

        if (answer.retry_after_s > 0)
                (void) snprintf(retry_after, sizeof(retry_after), "Retry-After: %u\r\n",
                                answer.retry_after_s);
        if (respond_error_document(&document, ERRORS_PROBLEM, answer, detail) == 0)
                n = snprintf(
                        ret_bytes, size,
                        "HTTP/1.1 %d %s\r\nConnection: close\r\n%s"
                        "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%.*s",
                        answer.status, respond_reason(answer.status), retry_after, document.size,
                        (int) document.size, (const char *) document.data);
        buffer_done(&document);
        return n < 0 ? 0 : (size_t) n < size ? (size_t) n : size - 1;
}
