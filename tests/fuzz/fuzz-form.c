/* A form of either kind, of any bytes, in memory and in a file. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jsontext/utf8.h"
#include "server/form.h"

#include "fuzz.h"

static void check_error(const ReaderError *error) {
        must(error->status >= 400 && error->status < 500);
        must(error->text[0] != '\0');
        must(utf8_valid_prefix(slice_of_text(error->field)) == strlen(error->field));
}

static void check_form(const Form *form, const Body *body) {
        must(form->n_parts <= FORM_PARTS_MAX);
        for (size_t i = 0; i < form->n_parts; i++) {
                const FormPart *part = &form->parts[i];
                volatile uint8_t last;

                must(utf8_valid_prefix(part->name) == part->name.size);
                must(utf8_valid_prefix(part->filename) == part->filename.size);
                must(part->offset + part->size <= body->size);
                if (part->value.size > 0)
                        last = part->value.data[part->value.size - 1];
                (void) last;
        }
}

static void check_same(const Form *a, const Form *b) {
        must(a->n_parts == b->n_parts);
        for (size_t i = 0; i < a->n_parts; i++) {
                must(a->parts[i].offset == b->parts[i].offset);
                must(a->parts[i].size == b->parts[i].size);
                must(a->parts[i].is_file == b->parts[i].is_file);
        }
}

/* The first byte says how long the Content-Type is that follows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Form form, again;
        ReaderError error;
        Slice content_type;
        Body body;
        bool is_read;

        if (size == 0 || size - 1 < data[0])
                return 0;
        content_type = slice_of(data + 1, data[0]);
        body = body_in_memory(slice_of(data + 1 + data[0], size - 1 - data[0]));
        is_read = form_parse(content_type, &body, &form, &error);
        if (is_read)
                check_form(&form, &body);
        else
                check_error(&error);

        if (content_type.size > 0 && (content_type.data[0] | 0x20) == 'm') {
                Body file = {.fd = memfd_create("body", MFD_CLOEXEC), .size = body.size};

                must(file.fd >= 0);
                must(write(file.fd, body.memory.data, body.size) == (ssize_t) body.size);
                must(form_parse(content_type, &file, &again, &error) == is_read);
                if (is_read) {
                        check_same(&form, &again);
                        form_done(&again);
                }
                (void) close(file.fd);
        }
        if (is_read)
                form_done(&form);
        return 0;
}
