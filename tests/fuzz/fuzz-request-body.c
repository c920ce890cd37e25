/* The head of a request and what is framed behind it, as intake.c reads them: any bytes. */
#include <string.h>

#include "server/chunked.h"
#include "server/request_head.h"

#include "fuzz.h"

static void check_head(const RequestHead *head, const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size + 1);
        RequestHead again;

        must(copy);
        memcpy(copy, data, size);
        must(head->size <= size);
        must(head->method.size > 0 && head->target.size > 0);
        must(head->framing_at + head->framing_size < head->size);
        request_head_disarm(head, copy);
        /* What has been written over has no body, and nothing else has moved. */
        must(memcmp(copy + head->size, data + head->size, size - head->size) == 0);
        request_head_read(slice_of(copy, size), &again);
        must(again.size == head->size && again.is_plain);
        must(!again.is_chunked && again.content_length == 0 && !again.expects_continue);
        free(copy);
}

/* Whatever the pieces are, the data is the same. */
static void check_chunks(const uint8_t *data, size_t size, size_t piece) {
        uint8_t *whole = malloc(size + 1), *pieces = malloc(size + 1);
        Chunked at_once = {0}, in_pieces = {0};
        size_t whole_size = 0, used = 0, at = 0;
        ssize_t taken, part = 0;

        must(whole && pieces);
        memcpy(whole, data, size);
        taken = chunked_decode(&at_once, whole, size, &whole_size);
        must(taken <= (ssize_t) size);
        while (at < size && part >= 0 && in_pieces.state != CHUNKED_END) {
                size_t n = size - at < piece ? size - at : piece, data_size = 0;

                memcpy(pieces + used, data + at, n);
                part = chunked_decode(&in_pieces, pieces + used, n, &data_size);
                if (part < 0)
                        break;
                used += data_size;
                at += (size_t) part;
        }
        must((taken < 0) == (part < 0));
        if (taken >= 0) {
                must(at == (size_t) taken && used == whole_size);
                must(memcmp(whole, pieces, used) == 0);
        }
        free(whole);
        free(pieces);
}

/* The first byte is the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RequestHead head;
        size_t piece;

        if (size == 0)
                return 0;
        piece = (size_t) data[0] + 1;
        data++;
        size--;
        request_head_read(slice_of(data, size), &head);
        if (head.size > 0 && head.is_plain) {
                check_head(&head, data, size);
                data += head.size;
                size -= head.size;
        }
        check_chunks(data, size, piece);
        return 0;
}
