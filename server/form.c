#include "server/form.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "jsontext/utf8.h"
#include "server/multipart.h"
#include "server/percent.h"
#include "server/request.h"

#define WINDOW_BYTES (256U << 10)

typedef struct FormText {
        struct FormText *next;
        uint8_t bytes[];
} FormText;

static bool fail(ReaderError *error, int status, Slice field, const char *format, ...)
        __attribute__((format(printf, 4, 5), cold));

static bool fail(ReaderError *error, int status, Slice field, const char *format, ...) {
        va_list arguments;
        int size = field.size < READER_FIELD_MAX ? (int) field.size : READER_FIELD_MAX - 1;

        /* Half a character at the cut would make the answer no valid JSON. */
        size = (int) utf8_valid_prefix(slice_of(field.data, (size_t) size));
        error->status = status;
        (void) snprintf(error->field, sizeof(error->field), "%.*s", size,
                        field.size > 0 ? (const char *) field.data : "");
        va_start(arguments, format);
        (void) vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
        return false;
}

static bool fail_no_memory(ReaderError *error) {
        return fail(error, 503, SLICE_NULL, "The server has no memory for this form right now.");
}

/* Bytes that live as long as the form, or NULL. */
static uint8_t *text_room(Form *form, size_t size) {
        FormText *text = malloc(sizeof(*text) + size + 1);

        if (!text)
                return NULL;
        text->next = form->texts;
        form->texts = text;
        return text->bytes;
}

/* Room grows by doubling: a power of two is full. */
static FormPart *add_part(Form *form, ReaderError *error) {
        size_t n = form->n_parts;
        FormPart *parts = form->parts;

        if (n == FORM_PARTS_MAX) {
                (void) fail(error, 413, SLICE_NULL, "A form may have at most %d fields.",
                            FORM_PARTS_MAX);
                return NULL;
        }
        if ((n & (n - 1)) == 0) {
                parts = reallocarray(parts, n > 0 ? 2 * n : 1, sizeof(*parts));
                if (!parts) {
                        (void) fail_no_memory(error);
                        return NULL;
                }
                form->parts = parts;
        }
        form->n_parts++;
        parts[n] = (FormPart){0};
        return &parts[n];
}

/* ── multipart/form-data ── */

static bool take_value(Form *form, const Body *body, const MultipartPart *from, FormPart *part,
                       ReaderError *error) {
        uint8_t *text;

        part->offset = from->offset;
        part->size = from->size;
        if (body->fd < 0) {
                part->value = slice_of(body->memory.data + from->offset, (size_t) from->size);
                return true;
        }
        if (part->is_file)
                return true;
        if (from->size > FORM_TEXT_MAX)
                return fail(error, 413, part->name,
                            "This field has more than %u bytes; what is larger is sent as a file "
                            "(with a file name).",
                            FORM_TEXT_MAX);
        text = text_room(form, (size_t) from->size);
        if (!text)
                return fail_no_memory(error);
        if (body_read(body, from->offset, text, (size_t) from->size) < 0)
                return fail(error, 500, part->name,
                            "The server could not read the request again; its log says why.");
        part->value = slice_of(text, (size_t) from->size);
        return true;
}

static bool take_part(Form *form, const Body *body, const MultipartPart *from, ReaderError *error) {
        FormPart *part = add_part(form, error);
        size_t name_size = strlen(from->name), type_size = strlen(from->content_type);
        uint8_t *text;

        if (!part)
                return false;
        text = text_room(form, name_size + from->filename_size + type_size);
        if (!text)
                return fail_no_memory(error);
        memcpy(text, from->name, name_size);
        memcpy(text + name_size, from->filename, from->filename_size);
        memcpy(text + name_size + from->filename_size, from->content_type, type_size);
        part->name = slice_of(text, name_size);
        part->filename = slice_of(text + name_size, from->filename_size);
        part->content_type = slice_of(text + name_size + from->filename_size, type_size);
        part->is_file = from->has_filename;
        return take_value(form, body, from, part, error);
}

/* The window at the reader's position: of the body in memory all that is left. */
static int next_window(const Body *body, uint64_t position, uint8_t *room, Slice *ret_window) {
        ssize_t n;

        if (body->fd < 0) {
                *ret_window =
                        slice_of(body->memory.data + position, (size_t) (body->size - position));
                return 0;
        }
        n = body_read(body, position, room, WINDOW_BYTES);
        *ret_window = slice_of(room, n > 0 ? (size_t) n : 0);
        return n < 0 ? (int) n : 0;
}

static bool parse_multipart(Slice content_type, const Body *body, Form *form, ReaderError *error) {
        _autofree_ Multipart *multipart = malloc(sizeof(*multipart));
        _autofree_ uint8_t *room = body->fd >= 0 ? malloc(WINDOW_BYTES) : NULL;
        Slice window;

        if (!multipart || (body->fd >= 0 && !room))
                return fail_no_memory(error);
        if (!multipart_start(multipart, content_type))
                return fail(error, multipart->status, SLICE_NULL, "%s", multipart->complaint);
        for (;;) {
                if (next_window(body, multipart->position, room, &window) < 0)
                        return fail(error, 500, SLICE_NULL,
                                    "The server could not read the request again; its log says "
                                    "why.");
                switch (multipart_next(multipart, window,
                                       multipart->position + window.size == body->size)) {
                case MULTIPART_MORE:
                        break;
                case MULTIPART_PART:
                        if (!take_part(form, body, &multipart->part, error))
                                return false;
                        break;
                case MULTIPART_END:
                        return true;
                case MULTIPART_BAD:
                        return fail(error, multipart->status, SLICE_NULL, "%s",
                                    multipart->complaint);
                }
        }
}

/* ── application/x-www-form-urlencoded ── */

/* Takes "name=value" from the front of text; the value of "name" alone is empty. */
static bool next_pair(Slice *text, Slice *ret_name, Slice *ret_value) {
        while (text->size > 0) {
                const uint8_t *end = memchr(text->data, '&', text->size);
                size_t size = end ? (size_t) (end - text->data) : text->size;
                const uint8_t *equals = memchr(text->data, '=', size);
                size_t name_size = equals ? (size_t) (equals - text->data) : size;

                *ret_name = slice_of(text->data, name_size);
                *ret_value = equals ? slice_of(equals + 1, size - name_size - 1) : SLICE_NULL;
                *text = end ? slice_of(end + 1, text->size - size - 1) : SLICE_NULL;
                if (size > 0)
                        return true;
        }
        return false;
}

static bool decode_into(uint8_t **room, Slice text, Slice *ret_text) {
        size_t size;

        if (!percent_decode(text, true, *room, &size))
                return false;
        *ret_text = slice_of(*room, size);
        *room += size;
        return true;
}

static bool parse_urlencoded(const Body *body, Form *form, ReaderError *error) {
        Slice text = body->memory, name, value;
        uint8_t *room;

        if (body->fd >= 0)
                return fail(error, 415, SLICE_NULL,
                            "This form is too large; files are sent as multipart/form-data.");
        room = text_room(form, text.size);
        if (!room)
                return fail_no_memory(error);
        while (next_pair(&text, &name, &value)) {
                FormPart *part = add_part(form, error);

                if (!part)
                        return false;
                if (!decode_into(&room, name, &part->name) ||
                    utf8_valid_prefix(part->name) != part->name.size)
                        return fail(error, 400, SLICE_NULL,
                                    "The name of a field is not UTF-8, or has a %% in it that is "
                                    "not followed by two hexadecimal digits.");
                if (!decode_into(&room, value, &part->value))
                        return fail(error, 400, part->name,
                                    "This has a %% in it that is not followed by two hexadecimal "
                                    "digits; in a form, %%25 stands for %%.");
                part->size = part->value.size;
        }
        return true;
}

/* ── Either ── */

static bool type_is(Slice content_type, const char *type) {
        size_t size = strlen(type);

        if (content_type.size < size ||
            strncasecmp((const char *) content_type.data, type, size) != 0)
                return false;
        return content_type.size == size || strchr("; \t", content_type.data[size]);
}

bool form_parse(Slice content_type, const Body *body, Form *ret_form, ReaderError *ret_error) {
        Form form = {0};
        bool is_read;

        *ret_form = form;
        if (type_is(content_type, "multipart/form-data"))
                is_read = parse_multipart(content_type, body, &form, ret_error);
        else if (content_type.size == 0 ||
                 type_is(content_type, "application/x-www-form-urlencoded"))
                is_read = parse_urlencoded(body, &form, ret_error);
        else
                return fail(ret_error, 415, SLICE_NULL,
                            "The Content-Type is neither multipart/form-data nor "
                            "application/x-www-form-urlencoded; a form was expected.");
        if (is_read)
                *ret_form = form;
        else
                form_done(&form);
        return is_read;
}

void form_done(Form *form) {
        while (form->texts) {
                FormText *text = form->texts;

                form->texts = text->next;
                free(text);
        }
        free(form->parts);
        *form = (Form){0};
}

bool form_read(h2o_req_t *req, Form *ret_form, ReaderError *ret_error) {
        Body body = body_in_memory(slice_of(req->entity.base, req->entity.len));

        return form_parse(request_header(req, "content-type"), &body, ret_form, ret_error);
}

const FormPart *form_find(const Form *form, const char *name) {
        for (size_t i = 0; i < form->n_parts; i++) {
                if (slice_equals(form->parts[i].name, name))
                        return &form->parts[i];
        }
        return NULL;
}

int query_find(h2o_req_t *req, const char *name, Slice *ret_value) {
        Slice query, found, value;

        *ret_value = SLICE_NULL;
        if (req->input.query_at >= req->input.path.len)
                return 0;
        query = slice_of(req->input.path.base + req->input.query_at + 1,
                         req->input.path.len - req->input.query_at - 1);
        while (next_pair(&query, &found, &value)) {
                uint8_t *room = h2o_mem_alloc_pool(&req->pool, found.size + value.size + 1);

                /* A name that is malformed is none that anybody asks for. */
                if (!decode_into(&room, found, &found) || !slice_equals(found, name))
                        continue;
                return decode_into(&room, value, ret_value) ? 1 : -EINVAL;
        }
        return 0;
}
