#include "kit/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* RFC 4648 §10, and the two characters that other alphabets have differently. */
static const struct {
        const char *bytes, *text;
} vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
};

static void test_vectors(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                _cleanup_(buffer_done) Buffer text = {0}, bytes = {0};

                assert_int_equal(base64_encode(slice_of_text(vectors[i].bytes), &text), 0);
                assert_true(slice_equals(buffer_slice(&text), vectors[i].text));
                assert_int_equal(base64_decode(slice_of_text(vectors[i].text), &bytes), 0);
                assert_true(slice_equals(buffer_slice(&bytes), vectors[i].bytes));
        }
}

static void test_every_length_comes_back(void **state) {
        uint8_t all[256 + 5];

        for (size_t i = 0; i < sizeof(all); i++)
                all[i] = (uint8_t) (i * 167);
        for (size_t size = 0; size <= sizeof(all); size++) {
                _cleanup_(buffer_done) Buffer text = {0}, bytes = {0};

                assert_int_equal(base64_encode(slice_of(all, size), &text), 0);
                assert_int_equal(text.size, (size + 2) / 3 * 4);
                assert_int_equal(base64_decode(buffer_slice(&text), &bytes), 0);
                assert_int_equal(bytes.size, size);
                if (size > 0)
                        assert_memory_equal(bytes.data, all, size);
        }
}

static void test_appends_after_what_is_there(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};

        assert_int_equal(buffer_append(&out, "x", 1), 0);
        assert_int_equal(base64_encode(SLICE_LITERAL("foo"), &out), 0);
        assert_int_equal(base64_decode(SLICE_LITERAL("Zm8="), &out), 0);
        assert_true(slice_equals(buffer_slice(&out), "xZm9vfo"));
}

static void test_refuses_and_leaves_the_buffer_alone(void **state) {
        static const char *const bad[] = {
                "Z",       "Zg",      "Zg=",  "=",    "====", "Z===",     "Zg==Zg==",
                "Zm9v\n",  "Zm 9",    "Zm9-", "Zm9_", "Zh==", "Zm9=",     "Zg=a",
                "Zm9vZg=", "Zm9\x80", "A=AA", "=AAA", " Zm9", "Zm9vZ===", "Zm8=Zm9v",
        };
        _cleanup_(buffer_done) Buffer out = {0};

        assert_int_equal(buffer_append(&out, "kept", 4), 0);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                if (base64_decode(slice_of_text(bad[i]), &out) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
                assert_true(slice_equals(buffer_slice(&out), "kept"));
        }
}

static void test_respects_the_limit(void **state) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(4);

        assert_int_equal(base64_encode(SLICE_LITERAL("four"), &out), -EMSGSIZE);
        assert_int_equal(out.size, 0);
        assert_int_equal(base64_encode(SLICE_LITERAL("one"), &out), 0);
        assert_int_equal(base64_decode(SLICE_LITERAL("Zm9v"), &out), -EMSGSIZE);
        assert_int_equal(out.size, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_every_length_comes_back),
                cmocka_unit_test(test_appends_after_what_is_there),
                cmocka_unit_test(test_refuses_and_leaves_the_buffer_alone),
                cmocka_unit_test(test_respects_the_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
