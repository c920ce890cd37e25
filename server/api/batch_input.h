#pragma once
/* batch_input: the runs of a batch, one after the other, out of a body that is JSON or one object
 * per line. */

#include "server/api/decode.h"

#define BATCH_ELEMENTS_MAX 10000

typedef struct BatchInput {
        bool is_lines;
        Slice rest;        /* of the lines */
        JsonCursor cursor; /* of the array */
        Slice element;     /* the one that comes next */
        bool has_element;
        size_t index; /* its place, from 0 */
} BatchInput;

/* Looks at the body as a whole: `[…]`, `{"runs": […], "template": …, "limits": …}`, or lines;
 * says_lines when Content-Type calls it lines. Standards of the envelope go into context. On false
 * the reader's error says why; what is wrong with a single run is found later, when that is
 * decoded. Both borrow body. */
bool batch_input_open(BatchInput *input, Reader *reader, DecodeContext *context, Slice body,
                      bool says_lines);

/* Goes on to the next element. */
void batch_input_advance(BatchInput *input);

/* The id of an element that cannot be decoded, as it stands; empty when it has none that can be
 * given back. */
Slice batch_element_id(Slice element);
