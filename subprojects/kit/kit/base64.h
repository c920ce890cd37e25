#pragma once
/* base64: RFC 4648 §4, with padding. */

#include "kit/bytes.h"

/* Appends the encoding of slice. Returns as buffer_append(). */
_must_check_ int base64_encode(Slice slice, Buffer *out);

/* Appends the decoded bytes. Returns as buffer_append(), or -EINVAL on a foreign character, bad
 * padding, or stray bits; then out is unchanged. White space is foreign too. */
_must_check_ int base64_decode(Slice text, Buffer *out);
