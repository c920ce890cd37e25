/* The chunked transfer coding, read strictly and in any pieces. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "server/chunked.h"

/* Decodes in pieces of that size; returns what is left of text after the end, or NULL. */
static const char *decode(const char *text, size_t piece, char *ret_data) {
        Chunked chunked = {0};
        size_t size = strlen(text), at = 0, used = 0;

        while (at < size && chunked.state != CHUNKED_END) {
                size_t n = size - at < piece ? size - at : piece, data_size;
                uint8_t bytes[256];
                ssize_t taken;

                memcpy(bytes, text + at, n);
                taken = chunked_decode(&chunked, bytes, n, &data_size);
                if (taken < 0)
                        return NULL;
                assert_true(taken == (ssize_t) n || chunked.state == CHUNKED_END);
                memcpy(ret_data + used, bytes, data_size);
                used += data_size;
                at += (size_t) taken;
        }
        ret_data[used] = '\0';
        return chunked.state == CHUNKED_END ? text + at : NULL;
}

static void test_good(void **state) {
        static const char *const texts[] = {
                "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\nREST",
                "000C\r\nhello, world\r\n0\r\n\r\nREST",
                "c;name=value\r\nhello, world\r\n0 ;x\r\nTrailer: a\r\nB: c\r\n\r\nREST",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                for (size_t piece = 1; piece < 100; piece++) {
                        char data[256];
                        const char *rest = decode(texts[i], piece, data);

                        assert_non_null(rest);
                        assert_string_equal(rest, "REST");
                        assert_string_equal(data, "hello, world");
                }
        }
}

static void test_bad(void **state) {
        static const char *const texts[] = {"\r\n",
                                            "x\r\n",
                                            "-1\r\n",
                                            "5\nhello",
                                            "5\r\nhelloX",
                                            "5\r\nhello\n",
                                            "5 x\n",
                                            "5;a\nb\r\n",
                                            "0\r\n\n",
                                            "0\r\nA: b\n\r\n",
                                            "10000000000000000\r\n",
                                            "0x5\r\n",
                                            " 5\r\n",
                                            "+5\r\n",
                                            "0\r\n\rX"};

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                char data[256];

                if (decode(texts[i], 100, data) || decode(texts[i], 1, data))
                        fail_msg("taken: %zu", i);
        }
}

static void test_extras_are_bounded(void **state) {
        Chunked chunked = {0};
        uint8_t bytes[64];
        size_t data_size, n = 0;
        ssize_t taken;

        memcpy(bytes, "0\r\n", 3);
        assert_int_equal(chunked_decode(&chunked, bytes, 3, &data_size), 3);
        do {
                memset(bytes, 'a', sizeof(bytes));
                taken = chunked_decode(&chunked, bytes, sizeof(bytes), &data_size);
                n += sizeof(bytes);
        } while (taken >= 0 && n < (1 << 20));
        assert_int_equal(taken, -EBADMSG);
        assert_in_range(n, CHUNKED_EXTRAS_MAX, CHUNKED_EXTRAS_MAX + 64);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_extras_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
