#pragma once
/* percent: %xx of paths, queries and forms. */

#include <stdbool.h>

#include "kit/bytes.h"

/* The byte that a text, which is not empty, begins with, and how many bytes stand for it: 1, or 3
 * when it is %xx. Returns -EINVAL for a % that is not followed by two hexadecimal digits. */
int percent_first(Slice text, size_t *ret_size);

/* Decodes to out, which has room for text.size bytes and may be where text lies. With plus_is_space
 * (queries and forms), "+" stands for a space. Returns false when a % is not followed by two
 * hexadecimal digits; what out holds then is worth nothing. */
bool percent_decode(Slice text, bool plus_is_space, uint8_t *out, size_t *ret_size);
