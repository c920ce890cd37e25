/* The reader of a worker's frames: what it keeps, what it refuses, what it holds at most. */

#include "result_driver.h"

static void expect_refused(uint32_t kind, Slice body) {
        result_reader_clear(&reader);
        feed_frame(kind, body);
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
        assert_false(reader.ended);
}

static void test_a_whole_result(void **state) {
        const StreamPlace switches[] = {{.bytes = {1, 0}}, {.bytes = {1, 2}}};
        uint32_t line = 12;
        RunResult result = {0};

        feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"image/png\":\"AA==\"}"));
        feed_frame(RESULT_VALUE, SLICE_LITERAL("{\"text/plain\":\"1\"}"));
        feed_frame(RESULT_VARIABLES, SLICE_LITERAL("{\"a\":[1,2]}"));
        feed_frame(RESULT_REPRS, SLICE_LITERAL("[\"a\"]"));
        feed_frame(RESULT_ERROR_TYPE, SLICE_LITERAL("KeyError"));
        feed_frame(RESULT_ERROR_MESSAGE, SLICE_LITERAL("\xff not UTF-8 \0"));
        feed_frame(RESULT_ERROR_TRACEBACK, SLICE_LITERAL(""));
        feed_frame(RESULT_ERROR_LINE, slice_of(&line, sizeof(line)));
        feed_frame(RESULT_SWITCHES, slice_of(switches, sizeof(switches)));
        feed_display(UINT64_MAX, 7, SLICE_LITERAL("{}"));
        feed_end(OUTCOME_RAISED, 7);

        expect_part(RESULT_DISPLAY);
        assert_slice(result_last_display(&reader), "{\"image/png\":\"AA==\"}");
        for (unsigned kind = RESULT_VALUE; kind < RESULT_END; kind++)
                expect_part(kind);
        expect_part(RESULT_DISPLAY);
        assert_slice(result_last_display(&reader), "{}");
        expect_event(SLOT_BUSY, SLOT_EV_END);
        assert_true(reader.ended);
        assert_int_equal(reader.end.outcome, OUTCOME_RAISED);
        assert_int_equal(reader.end.exit_code, 7);

        result_fill(&reader, &result);
        assert_slice(result.value, "{\"text/plain\":\"1\"}");
        assert_slice(result.variables, "{\"a\":[1,2]}");
        assert_slice(result.variables_repr, "[\"a\"]");
        assert_slice(result.error.type, "KeyError");
        assert_int_equal(result.error.message.size, 13);
        assert_int_equal(result.error.traceback.size, 0);
        assert_int_equal(result.error.line, 12);
        assert_int_equal(result.n_displays, 2);
        assert_slice(result.displays[0], "{\"image/png\":\"AA==\"}");
        assert_slice(result.displays[1], "{}");
        assert_false(result.displays_truncated);
        assert_int_equal(result.places[0].bytes[RUN_STDOUT], 0);
        assert_true(result.places[1].bytes[RUN_STDOUT] == UINT64_MAX);
        assert_int_equal(result.places[1].bytes[RUN_STDERR], 7);
        assert_int_equal(result.displays_before_value, 1);
        assert_int_equal(result.switches.size, sizeof(switches));
        assert_memory_equal(result.switches.data, switches, sizeof(switches));
}

static void test_byte_by_byte(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        ResultEnd end = {.outcome = OUTCOME_COMPLETED};
        RunResult result = {0};
        unsigned parts = 0, kind;
        SlotEvent event = SLOT_EV_VIOLATION;

        feed_frame(RESULT_VALUE, SLICE_LITERAL("{\"a\":1}"));
        feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"b\":2}"));
        feed_frame(RESULT_END, slice_of(&end, sizeof(end)));
        assert_int_equal(buffer_append(&bytes, reader.bytes.data, reader.bytes.size), 0);
        result_reader_clear(&reader);
        for (size_t i = 0; i < bytes.size; i++) {
                ResultNext next;

                assert_false(reader.ended);
                feed(slice_of(bytes.data + i, 1));
                while ((next = result_next(&reader, SLOT_BUSY, &kind, &event)) == RESULT_NEXT_PART)
                        parts++;
                assert_int_equal(next, i + 1 == bytes.size ? RESULT_NEXT_EVENT : RESULT_NEXT_NONE);
        }
        assert_int_equal(event, SLOT_EV_END);
        assert_int_equal(parts, 2);
        result_fill(&reader, &result);
        assert_slice(result.value, "{\"a\":1}");
        assert_slice(result.displays[0], "{\"b\":2}");
}

static void test_each_part_comes_once(void **state) {
        static const Slice bodies[_RESULT_KIND_MAX] = {
                [RESULT_VALUE] = SLICE_LITERAL("{}"),
                [RESULT_VARIABLES] = SLICE_LITERAL("{}"),
                [RESULT_REPRS] = SLICE_LITERAL("[]"),
                [RESULT_ERROR_TYPE] = SLICE_LITERAL("T"),
                [RESULT_ERROR_MESSAGE] = SLICE_LITERAL("M"),
                [RESULT_ERROR_TRACEBACK] = SLICE_LITERAL("B"),
                [RESULT_ERROR_LINE] = SLICE_LITERAL("1234"),
                [RESULT_SWITCHES] = SLICE_LITERAL("0123456789abcdef"),
        };

        for (unsigned kind = RESULT_VALUE; kind < RESULT_END; kind++) {
                result_reader_clear(&reader);
                feed_frame(kind, bodies[kind]);
                feed_frame(kind, bodies[kind]);
                expect_part(kind);
                expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
        }
}

static void test_a_document_is_json_of_its_kind(void **state) {
        static const Slice bad[] = {
                SLICE_LITERAL(""),
                SLICE_LITERAL("{"),
                SLICE_LITERAL("{\"a\":1} x"),
                SLICE_LITERAL("{\"a\":NaN}"),
                SLICE_LITERAL("{\"a\":\"\xff\"}"),
                SLICE_LITERAL("\"text\""),
                SLICE_LITERAL("{a:1}"),
        };

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                expect_refused(RESULT_DISPLAY, bad[i]);
                expect_refused(RESULT_VALUE, bad[i]);
                expect_refused(RESULT_VARIABLES, bad[i]);
                expect_refused(RESULT_REPRS, bad[i]);
        }
        expect_refused(RESULT_VALUE, SLICE_LITERAL("[]"));
        expect_refused(RESULT_VARIABLES, SLICE_LITERAL("[]"));
        expect_refused(RESULT_DISPLAY, SLICE_LITERAL("[]"));
        expect_refused(RESULT_REPRS, SLICE_LITERAL("{}"));
}

static void test_numbers_have_their_size(void **state) {
        expect_refused(RESULT_ERROR_LINE, SLICE_LITERAL("123"));
        expect_refused(RESULT_ERROR_LINE, SLICE_LITERAL("12345"));
        expect_refused(RESULT_SWITCHES, SLICE_LITERAL("0123456789abcde"));
        expect_refused(RESULT_SWITCHES, SLICE_LITERAL("0123456789abcdef0"));
        expect_refused(RESULT_END, SLICE_LITERAL(""));
        expect_refused(RESULT_END, SLICE_LITERAL("1234567"));
        expect_refused(RESULT_END, SLICE_LITERAL("123456789"));
}

static void test_an_end_needs_an_outcome(void **state) {
        static const uint32_t bad[] = {0, _OUTCOME_MAX, 99, UINT32_MAX};

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                ResultEnd end = {.outcome = bad[i]};

                expect_refused(RESULT_END, slice_of(&end, sizeof(end)));
        }
        for (uint32_t outcome = OUTCOME_COMPLETED; outcome < _OUTCOME_MAX; outcome++) {
                result_reader_clear(&reader);
                feed_end(outcome, 0);
                expect_event(SLOT_BUSY, SLOT_EV_END);
        }
}

static void test_nothing_may_follow_the_end(void **state) {
        feed_end(OUTCOME_COMPLETED, 0);
        feed(SLICE_LITERAL("x"));
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
        assert_false(reader.ended);

        result_reader_clear(&reader);
        feed_end(OUTCOME_COMPLETED, 0);
        feed_end(OUTCOME_COMPLETED, 0);
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
        assert_false(reader.ended);
}

static void test_what_is_no_frame_is_a_violation(void **state) {
        FrameHeader header = frame_header(RESULT_VALUE, (uint64_t) 1 << 40);

        feed(SLICE_LITERAL("Hello, this is no frame"));
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);

        result_reader_clear(&reader);
        feed(slice_of(&header, sizeof(header)));
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);

        for (unsigned kind = 0; kind < 20; kind++) {
                if (kind < RESULT_DISPLAY || kind > RESULT_END)
                        expect_refused(kind, SLICE_NULL);
        }
}

static void test_the_sizes_of_bodies_are_bounded(void **state) {
        _autofree_ char *text = calloc(1, RESULT_TEXT_MAX + 1);
        char document[VALUE_MAX + 2];

        /* {"a":"…"}, of exactly the size that is allowed, then of one more. */
        for (size_t size = VALUE_MAX; size <= VALUE_MAX + 1; size++) {
                memset(document, 'x', size);
                memcpy(document, "{\"a\":\"", 6);
                memcpy(document + size - 2, "\"}", 2);
                result_reader_clear(&reader);
                feed_frame(RESULT_VALUE, slice_of(document, size));
                if (size == VALUE_MAX)
                        expect_part(RESULT_VALUE);
                else
                        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
        }

        result_reader_clear(&reader);
        feed_frame(RESULT_SWITCHES, slice_of(text, RESULT_SWITCHES_MAX * sizeof(StreamPlace)));
        expect_part(RESULT_SWITCHES);
        expect_refused(RESULT_SWITCHES,
                       slice_of(text, (RESULT_SWITCHES_MAX + 1) * sizeof(StreamPlace)));

        for (unsigned kind = RESULT_ERROR_TYPE; kind <= RESULT_ERROR_TRACEBACK; kind++) {
                result_reader_clear(&reader);
                feed_frame(kind, slice_of(text, RESULT_TEXT_MAX));
                expect_part(kind);
                expect_refused(kind, slice_of(text, RESULT_TEXT_MAX + 1));
        }
}

static void test_other_states(void **state) {
        feed_frame(RESULT_READY, SLICE_NULL);
        expect_event(SLOT_STARTING, SLOT_EV_READY);
        expect_none(SLOT_IDLE);
        feed_frame(RESULT_TOUCHED, SLICE_NULL);
        expect_event(SLOT_TOUCHING, SLOT_EV_TOUCHED);

        result_reader_clear(&reader);
        feed_frame(RESULT_READY, SLICE_LITERAL("x"));
        expect_event(SLOT_STARTING, SLOT_EV_VIOLATION);
        result_reader_clear(&reader);
        feed_frame(RESULT_READY, SLICE_NULL);
        expect_event(SLOT_IDLE, SLOT_EV_VIOLATION);
        result_reader_clear(&reader);
        feed_end(OUTCOME_COMPLETED, 0);
        expect_event(SLOT_STARTING, SLOT_EV_VIOLATION);
        assert_false(reader.ended);
        result_reader_clear(&reader);
        feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{}"));
        expect_event(SLOT_TOUCHING, SLOT_EV_VIOLATION);
        assert_int_equal(reader.n_displays, 0);
}

static void feed_answer(size_t size) {
        static const uint8_t bytes[sizeof(ProbeAnswer) + 1] = {7};

        feed_frame(RESULT_PROBED, slice_of(bytes, size));
}

static void test_a_canary_has_one_answer_of_one_size(void **state) {
        static const size_t wrong[] = {0, sizeof(ProbeAnswer) - 1, sizeof(ProbeAnswer) + 1};

        feed_answer(sizeof(ProbeAnswer));
        expect_event(SLOT_PROBING, SLOT_EV_PROBED);
        assert_int_equal(reader.probed.outcomes[0], 7);
        expect_none(SLOT_PROBING);
        feed_answer(sizeof(ProbeAnswer));
        expect_event(SLOT_PROBING, SLOT_EV_VIOLATION);

        for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
                result_reader_clear(&reader);
                feed_answer(wrong[i]);
                expect_event(SLOT_PROBING, SLOT_EV_VIOLATION);
        }
        for (int other = 0; other < _SLOT_STATES; other++) {
                result_reader_clear(&reader);
                feed_answer(sizeof(ProbeAnswer));
                if (other != SLOT_PROBING)
                        expect_event((SlotState) other, SLOT_EV_VIOLATION);
        }
}

static void test_a_failure_says_why(void **state) {
        assert_int_equal(result_failure(&reader).size, 0);
        feed_frame(RESULT_FAILED, SLICE_LITERAL("no seccomp"));
        expect_event(SLOT_STARTING, SLOT_EV_VIOLATION);
        assert_slice(result_failure(&reader), "no seccomp");
        result_reader_clear(&reader);
        feed_frame(RESULT_VALUE, SLICE_LITERAL("{}"));
        assert_int_equal(result_failure(&reader).size, 0);
}

static void test_a_restart_forgets_everything(void **state) {
        RunResult result = {0};

        feed_frame(RESULT_VALUE, SLICE_LITERAL("{\"secret\":1}"));
        feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"secret\":2}"));
        expect_part(RESULT_VALUE);
        expect_part(RESULT_DISPLAY);
        result_reader_clear(&reader);

        feed_end(OUTCOME_COMPLETED, 0);
        expect_event(SLOT_BUSY, SLOT_EV_END);
        result_fill(&reader, &result);
        assert_int_equal(result.value.size, 0);
        assert_int_equal(result.n_displays, 0);
}

/* Under `reset` a worker may have made itself new before anybody has read its last frame. */
static void test_a_worker_that_stays_may_be_ready_again_at_once(void **state) {
        feed_end(OUTCOME_COMPLETED, 0);
        feed_frame(RESULT_READY, SLICE_NULL);
        expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);

        result_reader_clear(&reader);
        reader.worker_stays = true;
        feed_end(OUTCOME_COMPLETED, 0);
        feed_frame(RESULT_READY, SLICE_NULL);
        expect_event(SLOT_BUSY, SLOT_EV_END);
        assert_true(reader.ended);
        result_reader_restart(&reader);
        assert_false(reader.ended);
        expect_event(SLOT_STARTING, SLOT_EV_READY);
        expect_none(SLOT_IDLE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                reader_test(test_a_whole_result),
                reader_test(test_byte_by_byte),
                reader_test(test_each_part_comes_once),
                reader_test(test_a_document_is_json_of_its_kind),
                reader_test(test_numbers_have_their_size),
                reader_test(test_an_end_needs_an_outcome),
                reader_test(test_nothing_may_follow_the_end),
                reader_test(test_what_is_no_frame_is_a_violation),
                reader_test(test_the_sizes_of_bodies_are_bounded),
                reader_test(test_other_states),
                reader_test(test_a_canary_has_one_answer_of_one_size),
                reader_test(test_a_failure_says_why),
                reader_test(test_a_worker_that_stays_may_be_ready_again_at_once),
                reader_test(test_a_restart_forgets_everything),
        };

        return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
