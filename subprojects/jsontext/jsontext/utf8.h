#pragma once
/* utf8: is it valid, and where does it stop being so (Unicode 15, table 3-7: no surrogates, no
 * overlong forms). */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"

/* Length of the longest valid prefix. */
size_t utf8_valid_prefix(Slice text);

/* Length of the longest valid prefix that holds no ASCII; 0 when text begins with ASCII or an
 * invalid place. */
size_t utf8_valid_wide_prefix(Slice text);

/* How many bytes at the start of text (not empty) belong together. At an invalid place (from
 * utf8_valid_prefix()): those that one U+FFFD stands for, 1 to 3, the maximal subpart of Unicode
 * 15, §3.9. At a valid sequence: all of it. */
size_t utf8_bad_bytes(Slice text);

/* Bytes at the end that are the start of a sequence which more bytes could complete: 0 to 3. */
size_t utf8_unfinished_tail(Slice text);
