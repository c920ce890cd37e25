#pragma once
/*
 * request: turns the bytes of the request pipe into a Request. No I/O, no Python. The sender is our
 * own supervisor, so what is malformed here is a bug of ours, but what it passes on came from a
 * client: every count and size is bounded.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"
#include "wire/run.h"

/* All frames of one run together. A body alone may have FRAME_BODY_MAX bytes. */
#define REQUEST_BYTES_MAX  ((size_t) 257 << 20)
#define REQUEST_FRAMES_MAX 65536

/* A list of slices that grows on the heap; a run without such parts allocates nothing. */
typedef struct SliceList {
        Buffer store; /* of Slice */
} SliceList;

static inline size_t slice_list_count(const SliceList *list) {
        return list->store.size / sizeof(Slice);
}

static inline const Slice *slice_list_items(const SliceList *list) {
        return (const Slice *) (const void *) list->store.data;
}

typedef struct Request {
        bool is_touch; /* REQUEST_TOUCH; then nothing else is set */
        Slice probe;   /* REQUEST_PROBE, likewise; else empty */
        Slice code;    /* empty when no REQUEST_CODE came */
        Slice stdin_bytes;
        Slice data; /* empty when no REQUEST_DATA came */
        SliceList arguments, environment, variables;
        SliceList file_paths, file_contents; /* of the same length */
        RequestOptions options;
} Request;

void request_done(Request *request);

typedef enum RequestParse {
        REQUEST_COMPLETE,
        REQUEST_INCOMPLETE,
        REQUEST_MALFORMED,
        REQUEST_NO_MEMORY,
} RequestParse;

/*
 * Where a request that is still arriving stands. Zero it for each request. Scanning goes on where
 * it stopped, so bytes may move between two calls.
 */
typedef struct RequestScan {
        size_t offset;   /* bytes of whole frames seen */
        size_t n_frames; /* how many those are */
        size_t missing;  /* REQUEST_INCOMPLETE: at least so many more bytes will come */
} RequestScan;

/* Looks for the end of the request. On REQUEST_COMPLETE scan->offset is its size. */
RequestParse request_scan(RequestScan *scan, Slice bytes);

/*
 * Decodes a request that request_scan() found complete; never REQUEST_INCOMPLETE. Slices point into
 * bytes. The caller calls request_done() whatever the answer.
 */
RequestParse request_decode(Slice bytes, Request *ret_request);
