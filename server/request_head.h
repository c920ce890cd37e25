#pragma once
/*
 * request_head: the head of an HTTP/1 request, as far as it must be known before libh2o reads it:
 * what is asked for, and how the body is framed. Whatever is unusual is left to libh2o, which
 * refuses it: the head is RequestHead.is_plain or it is passed on as it is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"

typedef struct RequestHead {
        size_t size; /* with the empty line at its end; 0: it has not come in whole */
        bool is_plain;
        Slice method, target;
        bool is_chunked;
        uint64_t content_length; /* 0: none */
        bool expects_continue;
        size_t framing_at, framing_size; /* the line that tells of the body, without its end */
        size_t expect_at;                /* … of Expect */
} RequestHead;

/* The slices point into input. */
void request_head_read(Slice input, RequestHead *ret_head);

/* Writes over the head such that the request has no body and waits for nothing; it keeps its
 * length. bytes: those that were read. */
void request_head_disarm(const RequestHead *head, uint8_t *bytes);
