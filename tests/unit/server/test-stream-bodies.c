/* What is counted of the bodies on one HTTP/2 connection. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "server/stream_bodies.h"

#define BODY_MAX 1000
#define HEADERS  1
#define DATA     0

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

typedef struct Input {
        size_t size;
        uint8_t bytes[1 << 16];
} Input;

static void add_frame(Input *input, uint8_t type, uint32_t stream_id, size_t payload_size) {
        uint8_t *head = input->bytes + input->size;

        memset(head, 0, 9 + payload_size);
        head[0] = (uint8_t) (payload_size >> 16);
        head[1] = (uint8_t) (payload_size >> 8);
        head[2] = (uint8_t) payload_size;
        head[3] = type;
        head[5] = (uint8_t) (stream_id >> 24);
        head[6] = (uint8_t) (stream_id >> 16);
        head[7] = (uint8_t) (stream_id >> 8);
        head[8] = (uint8_t) stream_id;
        input->size += 9 + payload_size;
}

static Slice whole(const Input *input) {
        return slice_of(input->bytes, input->size);
}

static void count(StreamBodies *bodies, uint32_t stream_id, size_t size, uint64_t now_ns) {
        Input input = {0};

        add_frame(&input, DATA, stream_id, size);
        stream_bodies_count(bodies, whole(&input), BODY_MAX, now_ns);
}

static void test_frames(void **state) {
        StreamBodies bodies = {0};
        Input input = {.size = sizeof(preface) - 1};

        memcpy(input.bytes, preface, sizeof(preface) - 1);
        add_frame(&input, 4, 0, 12);
        add_frame(&input, HEADERS, 1, 30);
        assert_false(stream_bodies_has_data(whole(&input)));
        add_frame(&input, DATA, 1, 300);
        add_frame(&input, HEADERS, 0x12345677, 30);
        add_frame(&input, DATA, 0x12345677, 40);
        add_frame(&input, DATA, 1, 5);
        assert_true(stream_bodies_has_data(whole(&input)));
        stream_bodies_count(&bodies, whole(&input), BODY_MAX, 1);
        assert_int_equal(bodies.bytes, 345);
        assert_int_equal(bodies.n, 2);
        stream_bodies_remove(&bodies, 0x12345677);
        assert_int_equal(bodies.bytes, 305);
}

/* libh2o consumes complete frames; the rest is shown again. */
static void test_in_pieces(void **state) {
        Input input = {.size = sizeof(preface) - 1};

        memcpy(input.bytes, preface, sizeof(preface) - 1);
        for (uint32_t i = 0; i < 20; i++)
                add_frame(&input, i % 3 == 0 ? HEADERS : DATA, 1 + 2 * (i % 4), 10 + i);
        for (size_t step = 1; step < 90; step++) {
                StreamBodies bodies = {0};
                size_t at = 0;

                for (size_t end = step; at < input.size; end += step) {
                        size_t known = end < input.size ? end : input.size;
                        Slice piece = slice_of(input.bytes + at, known - at);

                        stream_bodies_count(&bodies, piece, BODY_MAX, 1);
                        /* What it has consumed. */
                        if (at == 0 && known >= sizeof(preface) - 1)
                                at = sizeof(preface) - 1;
                        while (at > 0 && at + 9 <= known && at + 9 + input.bytes[at + 2] <= known)
                                at += 9 + (size_t) input.bytes[at + 2];
                }
                assert_int_equal(bodies.bytes, 20 * 10 + 190 - (7 * 10 + 63));
        }
}

static void test_bounds(void **state) {
        StreamBodies bodies = {0};

        for (int i = 0; i < 5; i++)
                count(&bodies, 1, 900, 1);
        assert_int_equal(bodies.bytes, BODY_MAX);
        for (uint32_t i = 0; i < 1000; i++)
                count(&bodies, 3 + 2 * i, 10, 1);
        assert_int_equal(bodies.n, STREAM_BODIES_MAX);
        assert_int_equal(bodies.bytes, BODY_MAX + 1000 * 10);
}

static bool is_first(uint32_t stream_id, void *data) {
        return stream_id == 1;
}

static bool is_none(uint32_t stream_id, void *data) {
        return false;
}

static void test_keep(void **state) {
        StreamBodies bodies = {0};

        for (uint32_t i = 0; i < 1000; i++)
                count(&bodies, 1 + 2 * i, 10, 1);
        stream_bodies_keep(&bodies, is_first, NULL);
        assert_int_equal(bodies.n, 1);
        assert_int_equal(bodies.bytes, 10);
        stream_bodies_keep(&bodies, is_none, NULL);
        assert_int_equal(bodies.n, 0);
        assert_int_equal(bodies.bytes, 0);
}

static void test_the_oldest(void **state) {
        StreamBodies bodies = {0};

        assert_true(stream_bodies_oldest_ns(&bodies) == UINT64_MAX);
        count(&bodies, 1, 10, 100);
        count(&bodies, 3, 10, 50);
        count(&bodies, 3, 10, 200);
        assert_int_equal(stream_bodies_oldest_ns(&bodies), 50);
        stream_bodies_complete(&bodies, 3);
        stream_bodies_complete(&bodies, 5);
        assert_int_equal(stream_bodies_oldest_ns(&bodies), 100);
        stream_bodies_remove(&bodies, 1);
        stream_bodies_remove(&bodies, 1);
        assert_true(stream_bodies_oldest_ns(&bodies) == UINT64_MAX);
        assert_int_equal(bodies.bytes, 20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_frames),     cmocka_unit_test(test_in_pieces),
                cmocka_unit_test(test_bounds),     cmocka_unit_test(test_keep),
                cmocka_unit_test(test_the_oldest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
