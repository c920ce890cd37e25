/* multipart/form-data of any bytes, shown as a whole and in windows of any size. */
#include <string.h>

#include "jsontext/utf8.h"
#include "server/multipart.h"

#include "fuzz.h"

#define PARTS_MAX 64
#define FILL      (3 * MULTIPART_WINDOW_MIN)

typedef struct Found {
        struct {
                uint64_t offset, size;
                size_t filename_size;
        } parts[PARTS_MAX];
        size_t n;
        MultipartResult end;
} Found;

static void check_part(const MultipartPart *part, uint64_t after, Slice body) {
        Slice name = slice_of_text(part->name);

        must(part->offset >= after && part->size <= body.size);
        must(part->offset + part->size <= body.size);
        must(utf8_valid_prefix(name) == name.size);
        must(part->filename_size <= MULTIPART_FILENAME_MAX);
        must(utf8_valid_prefix(slice_of(part->filename, part->filename_size)) ==
             part->filename_size);
        must(part->has_filename || part->filename_size == 0);
}

static void parse(Slice body, size_t window_max, Found *found) {
        static Multipart reader;
        uint64_t after = 0;

        memset(found, 0, sizeof(*found));
        must(multipart_start(&reader, SLICE_LITERAL("multipart/form-data; boundary=b")));
        for (;;) {
                size_t at = (size_t) reader.position;
                size_t size = body.size - at < window_max ? body.size - at : window_max;

                must(reader.position <= body.size);
                found->end = multipart_next(&reader, slice_of(body.data + at, size),
                                            at + size == body.size);
                if (found->end == MULTIPART_MORE) {
                        must(reader.position > at);
                        continue;
                }
                if (found->end != MULTIPART_PART)
                        break;
                check_part(&reader.part, after, body);
                after = reader.part.offset + reader.part.size;
                if (found->n == PARTS_MAX)
                        break;
                found->parts[found->n].offset = reader.part.offset;
                found->parts[found->n].size = reader.part.size;
                found->parts[found->n++].filename_size = reader.part.filename_size;
        }
        if (found->end == MULTIPART_BAD)
                must(reader.complaint[0] != '\0' && reader.status >= 400 && reader.status < 500);
}

/* The first two bytes say where the rest stands in a body of line feeds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Found whole, pieces;
        size_t before;
        uint8_t *body;

        if (size < 2 || size > MULTIPART_WINDOW_MIN)
                return 0;
        parse(slice_of(data + 2, size - 2), SIZE_MAX, &whole);

        before = (size_t) (data[0] << 8 | data[1]);
        size -= 2;
        body = malloc(FILL + size);
        must(body);
        memset(body, '\n', FILL + size);
        memcpy(body + before, data + 2, size);
        parse(slice_of(body, FILL + size), SIZE_MAX, &whole);
        parse(slice_of(body, FILL + size), MULTIPART_WINDOW_MIN, &pieces);
        must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
        free(body);
        return 0;
}
