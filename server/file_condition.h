#pragma once
/* file_condition: what tells one content of a file from another over HTTP, and what a request may
 * demand of the file that is there (RFC 9110, 8.8.3 and 13.1), so that nobody writes over what he
 * has not seen. */

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "kit/bytes.h"

#define FILE_ETAG_MAX 64

/* With its quotes; a strong one. */
void file_etag(const struct stat *status, char ret_etag[FILE_ETAG_MAX]);

/* Whether a list of entity tags is "*" or has this one; with weak_counts, also as W/"…". */
bool etag_list_has(Slice list, const char *etag, bool weak_counts);

/* Zeroed: nothing is demanded. */
typedef struct FileCondition {
        Slice if_match, if_none_match; /* lists; SLICE_NULL: not sent */
        bool has_date;                 /* If-Unmodified-Since, where there is no If-Match */
        int64_t unmodified_since_s;
} FileCondition;

/* Of a request; its slices live as long as that. */
FileCondition file_condition_read(h2o_req_t *req);

/* A copy that lives as long as *ret_bytes, which is to be freed. -ENOMEM. */
_must_check_ int file_condition_copy(const FileCondition *condition, FileCondition *ret_copy,
                                     void **ret_bytes);

/* Whether the file that has the name may be changed, or with status NULL, that there is none. */
bool file_condition_holds(const FileCondition *condition, const struct stat *status);

/* Whether nothing may be made that is not there. */
bool file_condition_wants_a_file(const FileCondition *condition);
