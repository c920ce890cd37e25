#pragma once
/* percent: %xx of paths, queries and forms. */

#include <stdbool.h>

#include "kit/bytes.h"

/* Decodes to out, which has room for text.size bytes and may be where text lies. With plus_is_space
 * (queries and forms), "+" stands for a space. Returns false when a % is not followed by two
 * hexadecimal digits; what out holds then is worth nothing. */
bool percent_decode(Slice text, bool plus_is_space, uint8_t *out, size_t *ret_size);
