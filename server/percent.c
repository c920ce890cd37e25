#include "server/percent.h"

static int hex_digit(uint8_t character) {
        if (character >= '0' && character <= '9')
                return character - '0';
        if (character >= 'a' && character <= 'f')
                return character - 'a' + 10;
        if (character >= 'A' && character <= 'F')
                return character - 'A' + 10;
        return -1;
}

bool percent_decode(Slice text, bool plus_is_space, uint8_t *out, size_t *ret_size) {
        size_t size = 0;

        for (size_t i = 0; i < text.size; i++) {
                uint8_t character = text.data[i];

                if (character == '%') {
                        int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
                        int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;

                        if (high < 0 || low < 0)
                                return false;
                        character = (uint8_t) (high << 4 | low);
                        i += 2;
                } else if (plus_is_space && character == '+') {
                        character = ' ';
                }
                out[size++] = character;
        }
        *ret_size = size;
        return true;
}
