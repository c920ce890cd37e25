#include "server/percent.h"

#include <errno.h>

static int hex_digit(uint8_t character) {
        if (character >= '0' && character <= '9')
                return character - '0';
        if (character >= 'a' && character <= 'f')
                return character - 'a' + 10;
        if (character >= 'A' && character <= 'F')
                return character - 'A' + 10;
        return -1;
}

int percent_first(Slice text, size_t *ret_size) {
        int high, low;

        *ret_size = 1;
        if (text.data[0] != '%')
                return text.data[0];
        high = text.size > 2 ? hex_digit(text.data[1]) : -1;
        low = text.size > 2 ? hex_digit(text.data[2]) : -1;
        if (high < 0 || low < 0)
                return -EINVAL;
        *ret_size = 3;
        return high << 4 | low;
}

bool percent_decode(Slice text, bool plus_is_space, uint8_t *out, size_t *ret_size) {
        size_t size = 0;

        while (text.size > 0) {
                size_t taken;
                int character = percent_first(text, &taken);

                if (character < 0)
                        return false;
                if (plus_is_space && text.data[0] == '+')
                        character = ' ';
                out[size++] = (uint8_t) character;
                text = slice_of(text.data + taken, text.size - taken);
        }
        *ret_size = size;
        return true;
}
