#pragma once
/* utf8: is it valid, and where does it stop being so (Unicode 15, table 3-7: no surrogates, no overlong forms). */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"

/* Length of the longest valid prefix. */
size_t utf8_valid_prefix(Slice text);

/* At an invalid place (from utf8_valid_prefix()), how many bytes one U+FFFD stands for: at least 1. */
size_t utf8_bad_bytes(Slice text);

/* Bytes at the end that are the start of a sequence which more bytes could complete: 0 to 3. */
size_t utf8_unfinished_tail(Slice text);
