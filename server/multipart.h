#pragma once
/*
 * multipart: multipart/form-data (RFC 7578, RFC 2046 §5.1), as browsers, curl and the libraries of
 * many languages write it. The reader is shown a window of the body at a time and finds the parts
 * in it; what is in a part is not copied, only where it lies is told. A body of any size needs a
 * window of MULTIPART_WINDOW_MIN.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"

#define MULTIPART_BOUNDARY_MAX  200 /* RFC 2046 allows 70; some senders write more */
#define MULTIPART_HEAD_MAX      (16U << 10)
#define MULTIPART_WINDOW_MIN    (2 * MULTIPART_HEAD_MAX)
#define MULTIPART_NAME_MAX      256
#define MULTIPART_FILENAME_MAX  4096
#define MULTIPART_TYPE_MAX      256
#define MULTIPART_COMPLAINT_MAX 256

typedef struct MultipartPart {
        char name[MULTIPART_NAME_MAX + 1]; /* UTF-8 without control characters */
        size_t filename_size;
        char filename[MULTIPART_FILENAME_MAX + 1]; /* UTF-8; NUL and others are for the caller */
        bool has_filename;
        char content_type[MULTIPART_TYPE_MAX + 1]; /* "": none was given */
        uint64_t offset, size;                     /* of what is in it, in the body */
} MultipartPart;

typedef struct Multipart {
        char delimiter[MULTIPART_BOUNDARY_MAX + 3]; /* "--" and the boundary */
        size_t delimiter_size;
        enum {
                MULTIPART_PREAMBLE,
                MULTIPART_HEAD,
                MULTIPART_CONTENT,
                MULTIPART_EPILOGUE,
        } state;
        bool bare_feeds;   /* lines end with LF alone, as the first delimiter's does */
        uint64_t position; /* of the next window, in the body */
        MultipartPart part;
        char complaint[MULTIPART_COMPLAINT_MAX]; /* after MULTIPART_BAD: a sentence */
        int status;                              /* … 400, 413 or 415 */
} Multipart;

typedef enum MultipartResult {
        MULTIPART_MORE, /* show the window that begins at position */
        MULTIPART_PART, /* a part is complete; go on likewise */
        MULTIPART_END,
        MULTIPART_BAD,
} MultipartResult;

/* Takes the boundary from a Content-Type "multipart/form-data; boundary=…". Returns false, with the
 * complaint, when there is none that can be used. */
bool multipart_start(Multipart *multipart, Slice content_type);

/* window: bytes of the body from position on; is_last: no more come after them. A window that is
 * not the last must be of MULTIPART_WINDOW_MIN at least. */
MultipartResult multipart_next(Multipart *multipart, Slice window, bool is_last);
