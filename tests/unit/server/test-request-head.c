/* The head of a request before libh2o reads it: only what is beyond doubt is taken from it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/framing.h"
#include "server/request_head.h"

static RequestHead head;

static bool is_plain(const char *text) {
        request_head_read(slice_of_text(text), &head);
        return head.size > 0 && head.is_plain;
}

static void test_good(void **state) {
        assert_true(is_plain("PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbody"));
        assert_true(slice_equals(head.method, "PUT"));
        assert_true(slice_equals(head.target, "/a?b"));
        assert_int_equal(head.content_length, 100);
        assert_int_equal(head.size, 51);
        assert_false(head.is_chunked || head.expects_continue);
        assert_true(is_plain(
                "POST / HTTP/1.0\r\ntransfer-encoding:chunked\r\nEXPECT: 100-Continue\r\n\r\n"));
        assert_true(head.is_chunked && head.expects_continue);
        assert_true(is_plain("GET / HTTP/1.1\n\n"));
        assert_true(is_plain("\r\nGET / HTTP/1.1\r\n\r\n"));
        assert_int_equal(head.content_length, 0);
}

static void test_what_is_left_to_others(void **state) {
        static const char *const texts[] = {
                "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked \r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length:\r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: 1234567890123456789\r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: 1 \r\n\r\n",
                "PUT / HTTP/1.1\r\nContent-Length: 1\r\nX: a\r\n b\r\n\r\n",
                "PUT / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n",
                "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
                "PUT / HTTP/2.0\r\n\r\n",
                "PUT /\r\n\r\n",
                "PUT  HTTP/1.1\r\n\r\n",
                " / HTTP/1.1\r\n\r\n",
                "PUT /a b HTTP/1.1\r\n\r\n",
                "\r\n\r\n",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (is_plain(texts[i]))
                        fail_msg("taken: %zu", i);
}

static void test_not_in_whole(void **state) {
        static const char text[] = "PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n";

        for (size_t size = 0; size + 1 < sizeof(text); size++) {
                request_head_read(slice_of(text, size), &head);
                assert_int_equal(head.size, 0);
        }
}

static void check_disarmed(const char *text, const char *want) {
        uint8_t bytes[256];
        size_t size = strlen(text);

        memcpy(bytes, text, size);
        request_head_read(slice_of(bytes, size), &head);
        assert_true(head.is_plain);
        request_head_disarm(&head, bytes);
        assert_int_equal(strlen(want), size);
        assert_memory_equal(bytes, want, size);
        assert_null(framing_problem_of_head(slice_of(bytes, size)));
        request_head_read(slice_of(bytes, size), &head);
        assert_true(head.is_plain && !head.is_chunked && !head.expects_continue);
        assert_int_equal(head.content_length, 0);
}

static void test_disarmed(void **state) {
        check_disarmed("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 123\r\n\r\nBODY",
                       "PUT / HTTP/1.1\r\nx-wait: 100-continue\r\ncontent-length:   0\r\n\r\nBODY");
        check_disarmed("PUT / HTTP/1.1\r\ncontent-length:7\r\n\r\n",
                       "PUT / HTTP/1.1\r\ncontent-length:0\r\n\r\n");
        check_disarmed("PUT / HTTP/1.1\nTransfer-Encoding: chunked\nA: b\n\n",
                       "PUT / HTTP/1.1\ncontent-length:          0\nA: b\n\n");
        check_disarmed("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_what_is_left_to_others),
                cmocka_unit_test(test_not_in_whole),
                cmocka_unit_test(test_disarmed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
