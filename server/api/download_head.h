#pragma once
/* download_head: what goes before the bytes of a file, by what the client has asked for (RFC 9110:
 * ranges, conditions). */

#include <h2o.h>
#include <sys/stat.h>

#include "kit/bytes.h"

typedef struct DownloadHead {
        int status; /* 200, 206, 304, 412, 416 */
        uint64_t offset, size;
        bool has_body; /* not for HEAD and 304 */
} DownloadHead;

/* Adds the headers but Content-Length. */
void download_head_make(h2o_req_t *req, const char *path, bool attachment,
                        const struct stat *status, DownloadHead *ret_head);

typedef enum RangeKind {
        RANGE_NONE, /* of another unit, several, or malformed: the whole is sent */
        RANGE_ONE,
        RANGE_OUTSIDE,
} RangeKind;

/* "bytes=0-99", "bytes=100-", "bytes=-50" of a file of that size. Exposed for its test. */
RangeKind download_range(Slice text, uint64_t file_size, uint64_t *ret_offset, uint64_t *ret_size);

/* "attachment; filename=…; filename*=…" (RFC 6266); out has room for DISPOSITION_MAX bytes. Exposed
 * for its test. */
#define DISPOSITION_MAX 1200
size_t download_disposition(const char *path, char *out);
