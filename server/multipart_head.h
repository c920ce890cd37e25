#pragma once
/* multipart_head: the head of a part: its name, and that of its file. */

#include "server/multipart.h"

/* Reads the lines of a head, without the empty one at its end, into multipart->part. Returns false
 * with the complaint. */
bool multipart_head_read(Multipart *multipart, Slice head);

/* "; name=value" of a header's parameters, from *position on. Values are tokens, or quoted. The
 * value is unquoted into out, which has room for text.size. Returns 1, 0 at the end, or -1 when it
 * is no parameter. */
int header_parameter(Slice text, size_t *position, Slice *ret_name, uint8_t *out, size_t *ret_size);

/* Sets the complaint; returns false. */
bool multipart_complain(Multipart *multipart, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4), cold));
