#include "server/api/download_head.h"

#include <stdio.h>
#include <strings.h>

#include "server/file_condition.h"
#include "server/file_path.h"
#include "server/media_type.h"
#include "server/request.h"

/* ── Ranges ── */

/* Digits; returns false when there are none. What is too large is UINT64_MAX. */
static bool take_number(Slice *text, uint64_t *ret_number) {
        uint64_t number = 0;
        size_t i = 0;

        for (; i < text->size && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
                if (__builtin_mul_overflow(number, 10U, &number) ||
                    __builtin_add_overflow(number, (uint64_t) (text->data[i] - '0'), &number))
                        number = UINT64_MAX;
        }
        *text = slice_of(text->data + i, text->size - i);
        *ret_number = number;
        return i > 0;
}

RangeKind download_range(Slice text, uint64_t file_size, uint64_t *ret_offset, uint64_t *ret_size) {
        uint64_t first = 0, last = UINT64_MAX;
        bool has_first, has_last;

        if (text.size < 7 || strncasecmp((const char *) text.data, "bytes=", 6) != 0)
                return RANGE_NONE;
        text = slice_of(text.data + 6, text.size - 6);
        has_first = take_number(&text, &first);
        if (text.size == 0 || text.data[0] != '-')
                return RANGE_NONE;
        text = slice_of(text.data + 1, text.size - 1);
        has_last = take_number(&text, &last);
        if (!has_last)
                last = UINT64_MAX;
        if (text.size > 0 || !(has_first || has_last) || (has_first && last < first))
                return RANGE_NONE;
        if (!has_first) {
                first = last < file_size ? file_size - last : 0;
                if (last == 0)
                        return RANGE_OUTSIDE;
                last = UINT64_MAX;
        }
        if (first >= file_size)
                return RANGE_OUTSIDE;
        if (last >= file_size)
                last = file_size - 1;
        *ret_offset = first;
        *ret_size = last - first + 1;
        return RANGE_ONE;
}

/* ── Conditions ── */

static bool is_unchanged_since(Slice date, int64_t modified_s) {
        struct tm parts = {0};

        if (date.size == 0 ||
            h2o_time_parse_rfc1123((const char *) date.data, date.size, &parts) != 0)
                return false;
        return modified_s <= (int64_t) timegm(&parts);
}

static bool is_not_modified(h2o_req_t *req, const char *etag, int64_t modified_s) {
        Slice wanted = request_header_list(req, "if-none-match");

        if (wanted.size > 0)
                return etag_list_has(wanted, etag, true);
        return is_unchanged_since(request_header(req, "if-modified-since"), modified_s);
}

/* A range is of the file that the client knows, or none. */
static bool range_holds(h2o_req_t *req, const char *etag) {
        Slice condition = request_header(req, "if-range");

        return condition.size == 0 || slice_equals(condition, etag);
}

/* ── Headers ── */

static bool is_attribute_character(uint8_t character) {
        return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
               (character >= 'A' && character <= 'Z') || character == '.' || character == '-' ||
               character == '_';
}

size_t download_disposition(const char *path, char *out) {
        static const char before[] = "attachment; filename=\"", between[] = "\"; filename*=UTF-8''";
        const char *slash = strrchr(path, '/');
        const uint8_t *name = (const uint8_t *) (slash ? slash + 1 : path);
        char *at = stpcpy(out, before);

        for (const uint8_t *from = name; *from != '\0'; from++)
                *at++ = (char) (*from < 0x80 && *from != '"' && *from != '\\' ? *from : '_');
        at = stpcpy(at, between);
        for (const uint8_t *from = name; *from != '\0'; from++) {
                if (is_attribute_character(*from))
                        *at++ = (char) *from;
                else
                        at += sprintf(at, "%%%02X", *from);
        }
        *at = '\0';
        return (size_t) (at - out);
}

static void add_header(h2o_req_t *req, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static void add_header(h2o_req_t *req, const char *name, const char *format, ...) {
        char *text = h2o_mem_alloc_pool(&req->pool, DISPOSITION_MAX);
        va_list arguments;
        int size;

        va_start(arguments, format);
        size = vsnprintf(text, DISPOSITION_MAX, format, arguments);
        va_end(arguments);
        h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, text,
                              (size_t) size);
}

static void add_standing_headers(h2o_req_t *req, const char *path, bool attachment,
                                 const struct stat *status, const char *etag) {
        char date[H2O_TIMESTR_RFC1123_LEN + 1], disposition[DISPOSITION_MAX];
        time_t now = h2o_get_timestamp(req->conn->ctx, NULL, NULL)->tv_sec;
        /* A program sets the times of its files as it likes, but RFC 9110, 8.8.2.1 allows none to
         * come. */
        time_t modified = status->st_mtim.tv_sec < now ? status->st_mtim.tv_sec : now;
        struct tm parts;

        add_header(req, "etag", "%s", etag);
        add_header(req, "cache-control", "private, no-cache");
        add_header(req, "accept-ranges", "bytes");
        if (modified >= 0 && gmtime_r(&modified, &parts)) {
                h2o_time2str_rfc1123(date, &parts);
                add_header(req, "last-modified", "%.*s", (int) H2O_TIMESTR_RFC1123_LEN, date);
        }
        add_header(req, "content-type", "%s", media_type(slice_of_text(path)));
        /* It is a stranger's: it is what it is said to be, and if that is a page, one without
         * scripts and of no origin. */
        add_header(req, "x-content-type-options", "nosniff");
        add_header(req, "content-security-policy", "sandbox");
        if (attachment) {
                (void) download_disposition(path, disposition);
                add_header(req, "content-disposition", "%s", disposition);
        }
}

void download_head_make(h2o_req_t *req, const char *path, bool attachment,
                        const struct stat *status, DownloadHead *ret_head) {
        uint64_t file_size = (uint64_t) status->st_size;
        Slice range = request_header(req, "range");
        DownloadHead head = {.status = 200, .size = file_size};
        FileCondition condition = file_condition_read(req);
        char etag[FILE_ETAG_MAX];

        head.has_body = !h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
        file_etag(status, etag);
        /* RFC 9110, 13.2.2: what a request demands of the file comes first, and of If-None-Match
         * GET has its own way. */
        condition.if_none_match = SLICE_NULL;
        if (!file_condition_holds(&condition, status)) {
                ret_head->status = 412;
                return;
        }
        if (is_not_modified(req, etag, status->st_mtim.tv_sec)) {
                head.status = 304;
                head.has_body = false;
        } else if (range.size > 0 && head.has_body && range_holds(req, etag)) {
                RangeKind kind = download_range(range, file_size, &head.offset, &head.size);

                if (kind == RANGE_OUTSIDE) {
                        ret_head->status = 416;
                        add_header(req, "content-range", "bytes */%llu",
                                   (unsigned long long) file_size);
                        return;
                }
                if (kind == RANGE_ONE) {
                        head.status = 206;
                        add_header(req, "content-range", "bytes %llu-%llu/%llu",
                                   (unsigned long long) head.offset,
                                   (unsigned long long) (head.offset + head.size - 1),
                                   (unsigned long long) file_size);
                }
        }
        add_standing_headers(req, path, attachment, status, etag);
        *ret_head = head;
}
