#pragma once
/*
 * result_driver: frames of a worker, and what the reader of them is to make of each. To be included
 * once in a program.
 */

#include "pool/result.h"

#include "helpers.h"
#include "wire/frame.h"

#define VALUE_MAX 1000

static ResultReader reader;

static inline int set_up(void **state) {
        result_reader_init(&reader, VALUE_MAX);
        return 0;
}

static inline int tear_down(void **state) {
        result_reader_done(&reader);
        return 0;
}

static inline void feed(Slice bytes) {
        assert_int_equal(buffer_append(&reader.bytes, bytes.data, bytes.size), 0);
}

static inline void feed_display(uint64_t after_stdout, uint64_t after_stderr, Slice document) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        StreamPlace place = {.bytes = {after_stdout, after_stderr}};

        assert_int_equal(buffer_append(&body, &place, sizeof(place)), 0);
        assert_int_equal(buffer_append(&body, document.data, document.size), 0);
        assert_int_equal(frame_append(&reader.bytes, RESULT_DISPLAY, buffer_slice(&body)), 0);
}

static inline void feed_frame(uint32_t kind, Slice body) {
        if (kind == RESULT_DISPLAY)
                feed_display(0, 0, body);
        else
                assert_int_equal(frame_append(&reader.bytes, kind, body), 0);
}

static inline void feed_end(uint32_t outcome, int32_t exit_code) {
        ResultEnd end = {.outcome = outcome, .exit_code = exit_code};

        feed_frame(RESULT_END, slice_of(&end, sizeof(end)));
}

static inline void expect_none(SlotState state) {
        unsigned kind;
        SlotEvent event;

        assert_int_equal(result_next(&reader, state, &kind, &event), RESULT_NEXT_NONE);
}

static inline void expect_part(unsigned wanted) {
        unsigned kind;
        SlotEvent event;

        assert_int_equal(result_next(&reader, SLOT_BUSY, &kind, &event), RESULT_NEXT_PART);
        assert_int_equal(kind, wanted);
}

static inline void expect_event(SlotState state, SlotEvent wanted) {
        unsigned kind;
        SlotEvent event;

        assert_int_equal(result_next(&reader, state, &kind, &event), RESULT_NEXT_EVENT);
        assert_string_equal(slot_event_name(event), slot_event_name(wanted));
}

#define reader_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
