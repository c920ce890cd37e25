#pragma once
/*
 * outflow: an answer that is written piece by piece. libh2o takes one piece at a time and says when
 * it wants the next; what comes in between is gathered. The answer begins with the first piece, so
 * an error can still be an ordinary one until then.
 */

#include <h2o.h>

#include "kit/bytes.h"

typedef struct Outflow {
        h2o_generator_t super;
        h2o_req_t *req;
        const char *content_type;
        void (*drained)(void *data);
        void *data;
        Buffer next;    /* appended to by the owner */
        Buffer sending; /* libh2o's until it asks for more */
        bool has_begun; /* the head is out: too late for an answer of another kind */
        bool in_flight;
        bool ending; /* nothing is appended any more */
        bool broken; /* the answer is to be cut off */
        bool sent_last;
} Outflow;

/* drained is called from the event loop when a piece has been taken; then is a time to append more.
 * content_type is borrowed. */
void outflow_init(Outflow *flow, h2o_req_t *req, const char *content_type,
                  void (*drained)(void *data), void *data);
/* For the dispose callback of the owner. Takes one that was disposed of before. */
void outflow_done(Outflow *flow);

/* Sends what has been appended to next, unless a piece is under way. */
void outflow_flush(Outflow *flow);
/* Nothing more will come. */
void outflow_end(Outflow *flow);
/* Cuts the answer off such that the client can tell. It must have begun. */
void outflow_break(Outflow *flow);
