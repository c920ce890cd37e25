/* multipart/form-data: where parts lie, and what their heads say. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "server/multipart.h"

#define PARTS_MAX 8

typedef struct Found {
        MultipartPart parts[PARTS_MAX];
        size_t n;
        MultipartResult end;
        Multipart reader;
} Found;

static Found found;

/* Shows windows of the given size, or all at once. */
static void parse(const char *content_type, Slice body, size_t window_max) {
        memset(&found, 0, sizeof(found));
        if (!multipart_start(&found.reader, slice_of_text(content_type))) {
                found.end = MULTIPART_BAD;
                return;
        }
        for (;;) {
                size_t at = (size_t) found.reader.position;
                size_t size = body.size - at < window_max ? body.size - at : window_max;

                found.end = multipart_next(&found.reader, slice_of(body.data + at, size),
                                           at + size == body.size);
                if (found.end == MULTIPART_MORE)
                        continue;
                if (found.end != MULTIPART_PART)
                        return;
                assert_true(found.n < PARTS_MAX);
                found.parts[found.n++] = found.reader.part;
        }
}

#define TYPE "multipart/form-data; boundary=b"

static void parse_text(const char *body) {
        parse(TYPE, slice_of_text(body), SIZE_MAX);
}

static void check_part(size_t index, const char *body, const char *name, const char *filename,
                       const char *content) {
        const MultipartPart *part = &found.parts[index];

        assert_true(index < found.n);
        assert_string_equal(part->name, name);
        assert_int_equal(part->has_filename, filename != NULL);
        if (filename)
                assert_string_equal(part->filename, filename);
        assert_int_equal(part->size, strlen(content));
        assert_memory_equal(body + part->offset, content, part->size);
}

static void test_what_curl_sends(void **state) {
        static const char body[] =
                "--------------------------d74496d66958873e\r\n"
                "Content-Disposition: form-data; name=\"session_id\"\r\n\r\n"
                "abc\r\n"
                "--------------------------d74496d66958873e\r\n"
                "Content-Disposition: form-data; name=\"file\"; filename=\"a b.csv\"\r\n"
                "Content-Type: text/csv\r\n\r\n"
                "x,y\r\n1,2\r\n\r\n"
                "--------------------------d74496d66958873e--\r\n";

        parse("multipart/form-data; boundary=------------------------d74496d66958873e",
              slice_of_text(body), SIZE_MAX);
        assert_int_equal(found.end, MULTIPART_END);
        assert_int_equal(found.n, 2);
        check_part(0, body, "session_id", NULL, "abc");
        check_part(1, body, "file", "a b.csv", "x,y\r\n1,2\r\n");
        assert_string_equal(found.parts[1].content_type, "text/csv");
        assert_string_equal(found.parts[0].content_type, "");
}

typedef struct NameCase {
        const char *disposition, *name, *filename;
} NameCase;

static const NameCase name_cases[] = {
        {"form-data; name=a", "a", NULL},
        {"form-data; name=\"a\"", "a", NULL},
        {"Form-Data ;NAME = \"a\" ; x=y", "a", NULL},
        {"form-data; name=\"\"", "", NULL},
        {"form-data; name=\"a\"; filename=\"\"", "a", ""},
        {"form-data; filename=\"f;x=\"; name=a", "a", "f;x="},
        /* backslashes: of curl, and of Windows */
        {"form-data; name=a; filename=\"a\\\"b\\\\c\"", "a", "a\"b\\c"},
        {"form-data; name=a; filename=\"C:\\new\\t.txt\"", "a", "C:\\new\\t.txt"},
        /* what browsers escape, and what they do not */
        {"form-data; name=\"a%22b\"; filename=\"%22%0D%0a.txt\"", "a\"b", "\"\r\n.txt"},
        {"form-data; name=a; filename=\"100%25%41.txt\"", "a", "100%25%41.txt"},
        {"form-data; name=a; filename=\"\xe2\x82\xac.txt\"", "a", "\xe2\x82\xac.txt"},
        /* filename* wins, wherever it stands */
        {"form-data; name=a; filename*=UTF-8''%e2%82%ac%20x.txt", "a", "\xe2\x82\xac x.txt"},
        {"form-data; name=a; filename=\"x\"; filename*=utf-8'en'y", "a", "y"},
        {"form-data; name=a; filename*=utf-8''y; filename=\"x\"", "a", "y"},
        {"form-data; name=a; filename=../../etc/passwd", "a", "../../etc/passwd"},
};

static void test_names(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(name_cases); i++) {
                const NameCase *want = &name_cases[i];
                char body[512];

                (void) snprintf(body, sizeof(body),
                                "--b\r\ncontent-disposition:%s\r\n\r\nv\r\n--b--",
                                want->disposition);
                parse_text(body);
                if (found.end != MULTIPART_END)
                        fail_msg("%s: %s", want->disposition, found.reader.complaint);
                check_part(0, body, want->name, want->filename, "v");
        }
}

typedef struct BadCase {
        const char *head;
        int status;
} BadCase;

static const BadCase bad_heads[] = {
        {"", 400},
        {"Content-Type: text/plain\r\n", 400},
        {"Content-Disposition: form-data\r\n", 400},
        {"Content-Disposition: attachment; name=a\r\n", 400},
        {"Content-Disposition: form-data; name=\"a\r\n", 400},
        {"Content-Disposition: form-data; name=\"a\"b\r\n", 400},
        {"Content-Disposition: form-data; name\r\n", 400},
        {"Content-Disposition: form-data; name=a; name=b\r\n", 400},
        {"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=a\r\n",
         400},
        {"Content-Disposition: form-data; name=a; filename=x; filename=y\r\n", 400},
        {"Content-Disposition: form-data; name=\"a\xff\"\r\n", 400},
        {"Content-Disposition: form-data; name=\"a%0d\"\r\n", 400},
        {"Content-Disposition: form-data; name=a; filename=\"\xff\"\r\n", 400},
        {"Content-Disposition: form-data; name=a; filename*=latin-1''%e4\r\n", 400},
        {"Content-Disposition: form-data; name=a; filename*=UTF-8''%e4\r\n", 400},
        {"Content-Disposition: form-data; name=a; filename*=UTF-8''%\r\n", 400},
        {"Content-Disposition: form-data; name=a; filename*=x\r\n", 400},
        {"Content-Disposition: form-data;\r\n name=a\r\n", 400},
        {"no colon\r\n", 400},
        {"Content-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed; boundary=c\r\n",
         415},
        {"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n", 415},
};

static void test_bad_heads(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(bad_heads); i++) {
                char body[512];

                (void) snprintf(body, sizeof(body), "--b\r\n%s\r\nv\r\n--b--", bad_heads[i].head);
                parse_text(body);
                if (found.end != MULTIPART_BAD || found.reader.status != bad_heads[i].status ||
                    found.reader.complaint[0] == '\0')
                        fail_msg("%s: %d %d", bad_heads[i].head, found.end, found.reader.status);
        }
}

static void test_content_types(void **state) {
        static const char *const bad[] = {
                "multipart/form-data", "multipart/form-data; charset=x",
                "multipart/form-data; boundary=", "multipart/form-data; boundary=\"",
                "multipart/form-data; boundary=\"a\nb\""};
        static const char body[] =
                "--a b\r\nContent-Disposition: form-data; name=n\r\n\r\n\r\n--a b--";

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                parse(bad[i], slice_of_text(body), SIZE_MAX);
                assert_int_equal(found.end, MULTIPART_BAD);
        }
        parse("multipart/form-data; charset=utf-8; Boundary=\"a b\"", slice_of_text(body),
              SIZE_MAX);
        assert_int_equal(found.end, MULTIPART_END);
        check_part(0, body, "n", NULL, "");
}

#define HEAD "Content-Disposition: form-data; name=n\r\n\r\n"

static void check_one(const char *body, const char *content) {
        parse_text(body);
        assert_int_equal(found.end, MULTIPART_END);
        assert_int_equal(found.n, 1);
        check_part(0, body, "n", NULL, content);
}

static void test_delimiters(void **state) {
        check_one("--b\r\n" HEAD "v\r\n--b--\r\n", "v");
        check_one("preamble\r\n--b\r\n" HEAD "v\r\n--b--epilogue\r\n--b\r\n", "v");
        check_one("\r\n--b\r\n" HEAD "v\r\n--b--", "v");
        check_one("--b \t\r\n" HEAD "v\r\n--b--", "v");
        check_one("--b\r\n" HEAD "\r\n--b--", "");
        check_one("--b\r\n" HEAD "--b--", "");
        check_one("--b\r\n" HEAD "\r\n\r\n--b--", "\r\n");
        /* what only looks like one */
        check_one("--b\r\n" HEAD "a--b\r\n\r\n--bb\r\nx\r\n--b--", "a--b\r\n\r\n--bb\r\nx");
        check_one("--b\r\n" HEAD "a\n--b\r\nx\r\n--b--", "a\n--b\r\nx");
        check_one("--b\r\n" HEAD "a\r\n--b \tx\r\n--b--", "a\r\n--b \tx");
        check_one("--bx\r\n--b\r\n" HEAD "v\r\n--b--", "v");
        /* line feeds alone, when the form begins so */
        check_one("--b\nContent-Disposition: form-data; name=n\n\nv\r\n--b--", "v\r");
        check_one("--b\nContent-Disposition: form-data; name=n\n\nv\n--b--", "v");
        parse_text("--b--");
        assert_int_equal(found.end, MULTIPART_END);
        assert_int_equal(found.n, 0);
}

static void test_what_ends_early(void **state) {
        static const char *const bad[] = {"",
                                          "x",
                                          "--b",
                                          "--b\r\n",
                                          "--b\r\n" HEAD,
                                          "--b\r\n" HEAD "v",
                                          "--b\r\n" HEAD "v\r\n--b",
                                          "--b\r\n" HEAD "v\r\n--b-",
                                          "--b\r\n" HEAD "v\r\n--b\r\n",
                                          "--b\r\n" HEAD "v--b--"};

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                parse_text(bad[i]);
                if (found.end != MULTIPART_BAD || found.reader.status != 400)
                        fail_msg("%s: %d", bad[i], found.end);
        }
}

/* Every cut of a window gives what the whole does. */
static void test_windows(void **state) {
        static const char tail[] = "\r\n--b\r\n" HEAD "second\r\n--b--";
        size_t head_size = strlen("--b\r\n" HEAD);

        for (size_t fill = MULTIPART_WINDOW_MIN - 80; fill < MULTIPART_WINDOW_MIN + 16; fill++) {
                size_t size = head_size + fill + strlen(tail);
                char *body = malloc(size + 1);

                assert_non_null(body);
                memcpy(body, "--b\r\n" HEAD, head_size);
                memset(body + head_size, '\r', fill);
                memcpy(body + head_size + fill, tail, strlen(tail) + 1);
                parse(TYPE, slice_of(body, size), MULTIPART_WINDOW_MIN);
                assert_int_equal(found.end, MULTIPART_END);
                assert_int_equal(found.n, 2);
                assert_int_equal(found.parts[0].size, fill);
                check_part(1, body, "n", NULL, "second");
                free(body);
        }
}

static void test_bounds(void **state) {
        size_t size = 3 * MULTIPART_WINDOW_MIN;
        char *body = malloc(size);

        assert_non_null(body);
        memset(body, 'x', size);
        memcpy(body, "--b\r\n", 5);
        parse(TYPE, slice_of(body, size), MULTIPART_WINDOW_MIN);
        assert_int_equal(found.end, MULTIPART_BAD);
        assert_non_null(strstr(found.reader.complaint, "longer"));
        for (size_t i = 5; i + 4 <= size; i += 4)
                memcpy(body + i, "x:\r\n", 4);
        parse(TYPE, slice_of(body, size), MULTIPART_WINDOW_MIN);
        assert_int_equal(found.end, MULTIPART_BAD);
        memset(body, ' ', size);
        memcpy(body, "--b", 3);
        parse(TYPE, slice_of(body, size), MULTIPART_WINDOW_MIN);
        assert_int_equal(found.end, MULTIPART_BAD);
        free(body);
}

static void test_many_headers(void **state) {
        char body[2048] = "--b\r\n";

        for (int i = 0; i < 33; i++)
                (void) strcat(body, "x: y\r\n");
        (void) strcat(body, HEAD "v\r\n--b--");
        parse_text(body);
        assert_int_equal(found.end, MULTIPART_BAD);
        assert_non_null(strstr(found.reader.complaint, "headers"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_curl_sends), cmocka_unit_test(test_names),
                cmocka_unit_test(test_bad_heads),       cmocka_unit_test(test_content_types),
                cmocka_unit_test(test_delimiters),      cmocka_unit_test(test_what_ends_early),
                cmocka_unit_test(test_windows),         cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_many_headers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
