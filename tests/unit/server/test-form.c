/* Forms of either kind, and queries. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "server/form.h"

static Form form;
static ReaderError error;

static bool parse(const char *content_type, Slice bytes) {
        Body body = body_in_memory(bytes);

        return form_parse(slice_of_text(content_type), &body, &form, &error);
}

static void check(size_t index, const char *name, Slice value) {
        assert_true(index < form.n_parts);
        assert_true(slice_equals(form.parts[index].name, name));
        assert_int_equal(form.parts[index].value.size, value.size);
        assert_memory_equal(form.parts[index].value.data, value.data, value.size);
        assert_int_equal(form.parts[index].size, value.size);
}

static void test_urlencoded(void **state) {
        assert_true(parse("application/x-www-form-urlencoded; charset=UTF-8",
                          SLICE_LITERAL("user_id=a+b%2B&&x&y=&%c3%a4=%00%ff&x=2=3&")));
        assert_int_equal(form.n_parts, 5);
        check(0, "user_id", SLICE_LITERAL("a b+"));
        check(1, "x", SLICE_LITERAL(""));
        check(2, "y", SLICE_LITERAL(""));
        check(3, "\xc3\xa4", SLICE_LITERAL("\0\xff"));
        check(4, "x", SLICE_LITERAL("2=3"));
        assert_ptr_equal(form_find(&form, "x"), &form.parts[1]);
        assert_null(form_find(&form, "z"));
        assert_false(form.parts[0].is_file);
        form_done(&form);
        assert_true(parse("", SLICE_LITERAL("a=1")));
        form_done(&form);
        assert_true(parse("", SLICE_LITERAL("")));
        assert_int_equal(form.n_parts, 0);
        form_done(&form);
}

static void test_urlencoded_that_is_bad(void **state) {
        assert_false(parse("", SLICE_LITERAL("a=1&user_id=%4")));
        assert_int_equal(error.status, 400);
        assert_string_equal(error.field, "user_id");
        assert_false(parse("", SLICE_LITERAL("%ff=1")));
        assert_int_equal(error.status, 400);
        assert_string_equal(error.field, "");
        assert_false(parse("", SLICE_LITERAL("%=1")));
        assert_false(parse("application/json", SLICE_LITERAL("{}")));
        assert_int_equal(error.status, 415);
        assert_false(parse("multipart/form-datax; boundary=b", SLICE_LITERAL("--b--")));
        assert_int_equal(error.status, 415);
}

#define PART(name, more, value)                                                                    \
        "--b\r\nContent-Disposition: form-data; name=" name more "\r\n\r\n" value "\r\n"

static void test_multipart(void **state) {
        assert_true(
                parse("Multipart/Form-Data;boundary=b",
                      SLICE_LITERAL(PART("a", "", "1") PART("f", "; filename=x.csv", "\0\1") PART(
                              "g", "; filename=\"\"\r\ncontent-type: y/z", "") "--b--")));
        assert_int_equal(form.n_parts, 3);
        check(0, "a", SLICE_LITERAL("1"));
        check(1, "f", SLICE_LITERAL("\0\1"));
        check(2, "g", SLICE_LITERAL(""));
        assert_false(form.parts[0].is_file);
        assert_true(form.parts[1].is_file && slice_equals(form.parts[1].filename, "x.csv"));
        assert_true(form.parts[2].is_file && form.parts[2].filename.size == 0);
        assert_true(slice_equals(form.parts[2].content_type, "y/z"));
        form_done(&form);
        assert_false(parse("multipart/form-data; boundary=b", SLICE_LITERAL("--b\r\n\r\n")));
        assert_int_equal(error.status, 400);
}

/* A body in a file gives the same, but for what is in files. */
static void test_in_a_file(void **state) {
        static const char text[] = PART("a", "", "one") PART("f", "; filename=x", "two") "--b--";
        Body body = {.fd = memfd_create("body", MFD_CLOEXEC), .size = sizeof(text) - 1};

        assert_true(body.fd >= 0);
        assert_int_equal(write(body.fd, text, sizeof(text) - 1), sizeof(text) - 1);
        assert_true(
                form_parse(SLICE_LITERAL("multipart/form-data; boundary=b"), &body, &form, &error));
        check(0, "a", SLICE_LITERAL("one"));
        assert_int_equal(form.parts[1].value.size, 0);
        assert_int_equal(form.parts[1].size, 3);
        assert_memory_equal(text + form.parts[1].offset, "two", 3);
        form_done(&form);
        assert_false(form_parse(SLICE_LITERAL(""), &body, &form, &error));
        assert_int_equal(error.status, 415);
        /* shorter than it should be: EIO, and no loop */
        body.size += 10;
        assert_false(
                form_parse(SLICE_LITERAL("multipart/form-data; boundary=b"), &body, &form, &error));
        assert_int_equal(error.status, 500);
        (void) close(body.fd);
}

static void test_a_long_text_in_a_file(void **state) {
        static const char head[] = "--b\r\nContent-Disposition: form-data; name=long\r\n\r\n";
        Body body = {.fd = memfd_create("body", MFD_CLOEXEC),
                     .size = sizeof(head) - 1 + FORM_TEXT_MAX + 1 + 7};

        assert_true(body.fd >= 0);
        assert_int_equal(ftruncate(body.fd, (off_t) body.size), 0);
        assert_int_equal(pwrite(body.fd, head, sizeof(head) - 1, 0), sizeof(head) - 1);
        assert_int_equal(pwrite(body.fd, "\r\n--b--", 7, (off_t) body.size - 7), 7);
        assert_false(
                form_parse(SLICE_LITERAL("multipart/form-data; boundary=b"), &body, &form, &error));
        assert_int_equal(error.status, 413);
        assert_string_equal(error.field, "long");
        (void) close(body.fd);
}

static void test_too_many(void **state) {
        Buffer text = BUFFER_INIT(0);

        for (int i = 0; i < FORM_PARTS_MAX; i++)
                assert_int_equal(buffer_append(&text, "a=1&", 4), 0);
        assert_true(parse("", buffer_slice(&text)));
        assert_int_equal(form.n_parts, FORM_PARTS_MAX);
        form_done(&form);
        assert_int_equal(buffer_append(&text, "b", 1), 0);
        assert_false(parse("", buffer_slice(&text)));
        assert_int_equal(error.status, 413);
        buffer_done(&text);
}

static h2o_req_t req; /* its pool has what was found last */

static int find(const char *path, const char *name, Slice *ret_value) {
        const char *question = strchr(path, '?');

        h2o_mem_clear_pool(&req.pool);
        req.input.path = h2o_iovec_init(path, strlen(path));
        req.input.query_at = question ? (size_t) (question - path) : SIZE_MAX;
        return query_find(&req, name, ret_value);
}

static void test_queries(void **state) {
        Slice value;

        h2o_mem_init_pool(&req.pool);
        assert_int_equal(find("/x?a=1&path=b%2Fc+d&path=z", "path", &value), 1);
        assert_true(slice_equals(value, "b/c d"));
        assert_int_equal(find("/x?p%61th", "path", &value), 1);
        assert_int_equal(value.size, 0);
        assert_int_equal(find("/x", "path", &value), 0);
        assert_int_equal(find("/x?", "path", &value), 0);
        assert_int_equal(find("/x?%=1&Path=2", "path", &value), 0);
        assert_int_equal(find("/x?path=%g0", "path", &value), -EINVAL);
        h2o_mem_clear_pool(&req.pool);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_urlencoded),
                cmocka_unit_test(test_urlencoded_that_is_bad),
                cmocka_unit_test(test_multipart),
                cmocka_unit_test(test_in_a_file),
                cmocka_unit_test(test_a_long_text_in_a_file),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_queries),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
