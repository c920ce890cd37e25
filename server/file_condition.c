#include "server/file_condition.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "server/request.h"

/* ── Entity tags ── */

void file_etag(const struct stat *status, char ret_etag[FILE_ETAG_MAX]) {
        (void) snprintf(ret_etag, FILE_ETAG_MAX, "\"%llx-%llx-%llx\"",
                        (unsigned long long) status->st_ino, (unsigned long long) status->st_size,
                        (unsigned long long) status->st_mtim.tv_sec * 1000000000ULL +
                                (unsigned long long) status->st_mtim.tv_nsec);
}

/* Takes one off the front of a list, with its quotes; false at its end, and where it is malformed.
 */
static bool take_etag(Slice *list, Slice *ret_etag, bool *ret_weak) {
        const uint8_t *at = list->data, *end = at + list->size, *close;

        while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
                at++;
        *ret_weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
        if (*ret_weak)
                at += 2;
        close = end - at > 1 && *at == '"' ? memchr(at + 1, '"', (size_t) (end - at) - 1) : NULL;
        if (!close)
                return false;
        *ret_etag = slice_of(at, (size_t) (close + 1 - at));
        *list = slice_of(close + 1, (size_t) (end - close) - 1);
        return true;
}

bool etag_list_has(Slice list, const char *etag, bool weak_counts) {
        Slice one;
        bool weak;

        if (slice_equals(list, "*"))
                return true;
        while (list.size > 0 && take_etag(&list, &one, &weak)) {
                if (slice_equals(one, etag) && (weak_counts || !weak))
                        return true;
        }
        return false;
}

/* ── Conditions ── */

FileCondition file_condition_read(h2o_req_t *req) {
        FileCondition condition = {
                .if_match = request_header_list(req, "if-match"),
                .if_none_match = request_header_list(req, "if-none-match"),
        };
        Slice date = request_header(req, "if-unmodified-since");
        struct tm parts = {0};

        /* RFC 9110, 13.1.4: a date that is none is no condition. */
        if (condition.if_match.size == 0 && date.size > 0 &&
            h2o_time_parse_rfc1123((const char *) date.data, date.size, &parts) == 0) {
                condition.has_date = true;
                condition.unmodified_since_s = timegm(&parts);
        }
        return condition;
}

int file_condition_copy(const FileCondition *condition, FileCondition *ret_copy, void **ret_bytes) {
        Slice match = condition->if_match, none_match = condition->if_none_match;
        uint8_t *bytes = NULL;

        *ret_copy = *condition;
        *ret_bytes = NULL;
        if (match.size + none_match.size == 0)
                return 0;
        bytes = malloc(match.size + none_match.size);
        if (!bytes)
                return -ENOMEM;
        if (match.size > 0)
                memcpy(bytes, match.data, match.size);
        if (none_match.size > 0)
                memcpy(bytes + match.size, none_match.data, none_match.size);
        ret_copy->if_match = slice_of(bytes, match.size);
        ret_copy->if_none_match = slice_of(bytes + match.size, none_match.size);
        *ret_bytes = bytes;
        return 0;
}

bool file_condition_holds(const FileCondition *condition, const struct stat *status) {
        char etag[FILE_ETAG_MAX];

        if (!status)
                return condition->if_match.size == 0;
        file_etag(status, etag);
        if (condition->if_match.size > 0 && !etag_list_has(condition->if_match, etag, false))
                return false;
        if (condition->has_date && status->st_mtim.tv_sec > condition->unmodified_since_s)
                return false;
        return condition->if_none_match.size == 0 ||
               !etag_list_has(condition->if_none_match, etag, true);
}

bool file_condition_wants_a_file(const FileCondition *condition) {
        return condition->if_match.size > 0;
}
