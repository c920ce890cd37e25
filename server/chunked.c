#include "server/chunked.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

#define SIZE_DIGITS_MAX 15

static int hex_value(uint8_t byte) {
        if (byte >= '0' && byte <= '9')
                return byte - '0';
        byte |= 0x20;
        return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool take_size_byte(Chunked *chunked, uint8_t byte) {
        int value = hex_value(byte);

        if (value >= 0) {
                chunked->left = chunked->left << 4 | (uint64_t) value;
                return ++chunked->digits <= SIZE_DIGITS_MAX;
        }
        chunked->state = byte == '\r' ? CHUNKED_SIZE_FEED : CHUNKED_EXTENSION;
        return chunked->digits > 0 && (byte == '\r' || byte == ';' || byte == ' ' || byte == '\t');
}

/* A line that nobody reads, up to its CR. */
static bool take_extra_byte(Chunked *chunked, uint8_t byte, int next) {
        if (byte == '\r')
                chunked->state = next;
        return byte != '\n' && ++chunked->extras <= CHUNKED_EXTRAS_MAX;
}

static bool expect_byte(Chunked *chunked, uint8_t byte, uint8_t wanted, int next) {
        chunked->state = next;
        return byte == wanted;
}

/* One byte that is no data. */
static bool take_byte(Chunked *chunked, uint8_t byte) {
        switch (chunked->state) {
        case CHUNKED_SIZE:
                return take_size_byte(chunked, byte);
        case CHUNKED_EXTENSION:
                return take_extra_byte(chunked, byte, CHUNKED_SIZE_FEED);
        case CHUNKED_SIZE_FEED:
                return expect_byte(chunked, byte, '\n',
                                   chunked->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER_START);
        case CHUNKED_DATA_RETURN:
                return expect_byte(chunked, byte, '\r', CHUNKED_DATA_FEED);
        case CHUNKED_DATA_FEED:
                chunked->digits = 0;
                return expect_byte(chunked, byte, '\n', CHUNKED_SIZE);
        case CHUNKED_TRAILER_START:
                if (byte == '\r') {
                        chunked->state = CHUNKED_END_FEED;
                        return true;
                }
                chunked->state = CHUNKED_TRAILER;
                return take_extra_byte(chunked, byte, CHUNKED_TRAILER_FEED);
        case CHUNKED_TRAILER:
                return take_extra_byte(chunked, byte, CHUNKED_TRAILER_FEED);
        case CHUNKED_TRAILER_FEED:
                return expect_byte(chunked, byte, '\n', CHUNKED_TRAILER_START);
        case CHUNKED_END_FEED:
                return expect_byte(chunked, byte, '\n', CHUNKED_END);
        case CHUNKED_DATA:
        case CHUNKED_END:
                break;
        }
        return false;
}

ssize_t chunked_decode(Chunked *chunked, uint8_t *bytes, size_t size, size_t *ret_data_size) {
        size_t at = 0, data_size = 0;

        while (at < size && chunked->state != CHUNKED_END) {
                size_t n;

                if (chunked->state != CHUNKED_DATA) {
                        if (!take_byte(chunked, bytes[at++]))
                                return -EBADMSG;
                        continue;
                }
                n = size - at < chunked->left ? size - at : (size_t) chunked->left;
                memmove(bytes + data_size, bytes + at, n);
                data_size += n;
                at += n;
                chunked->left -= n;
                if (chunked->left == 0)
                        chunked->state = CHUNKED_DATA_RETURN;
        }
        *ret_data_size = data_size;
        return (ssize_t) at;
}
