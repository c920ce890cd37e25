/* What the reader of a worker's frames keeps of displays: so many, so much, and where they belong.
 */

#include "result_driver.h"

static void test_a_display_begins_with_its_place(void **state) {
        char body[sizeof(StreamPlace)] = "{\"a\":1}";

        for (size_t size = 0; size <= sizeof(body); size++) {
                result_reader_clear(&reader);
                assert_int_equal(frame_append(&reader.bytes, RESULT_DISPLAY, slice_of(body, size)),
                                 0);
                expect_event(SLOT_BUSY, SLOT_EV_VIOLATION);
                assert_int_equal(reader.n_displays, 0);
        }
}

static void test_surplus_displays_are_dropped(void **state) {
        RunResult result = {0};

        for (unsigned i = 0; i < RESULT_DISPLAYS_MAX; i++) {
                feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"n\":1}"));
                expect_part(RESULT_DISPLAY);
        }
        for (unsigned i = 0; i < 1000; i++)
                feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"n\":2}"));
        feed_frame(RESULT_VALUE, SLICE_LITERAL("{\"v\":3}"));
        feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"n\":4}"));
        expect_part(RESULT_VALUE);
        feed_end(OUTCOME_COMPLETED, 0);
        expect_event(SLOT_BUSY, SLOT_EV_END);

        result_fill(&reader, &result);
        assert_int_equal(result.n_displays, RESULT_DISPLAYS_MAX);
        assert_true(result.displays_truncated);
        assert_slice(result.displays[RESULT_DISPLAYS_MAX - 1], "{\"n\":1}");
        assert_slice(result.value, "{\"v\":3}");
}

static void test_displays_share_one_bound(void **state) {
        char document[VALUE_MAX];

        memset(document, ' ', sizeof(document));
        memcpy(document, "{}", 2);
        feed_frame(RESULT_DISPLAY, slice_of(document, VALUE_MAX - 10));
        feed_frame(RESULT_DISPLAY, slice_of(document, 11));
        feed_frame(RESULT_DISPLAY, slice_of(document, 10));
        feed_frame(RESULT_DISPLAY, slice_of(document, 2));
        expect_part(RESULT_DISPLAY);
        expect_part(RESULT_DISPLAY);
        expect_none(SLOT_BUSY);
        assert_int_equal(reader.display_bytes, VALUE_MAX);
        assert_true(reader.displays_truncated);
}

/* A run that shows pictures for an hour fills no store. */
static void test_dropped_displays_give_their_room_back(void **state) {
        size_t size;

        for (unsigned i = 0; i < RESULT_DISPLAYS_MAX; i++)
                feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{}"));
        for (unsigned i = 0; i < RESULT_DISPLAYS_MAX; i++)
                expect_part(RESULT_DISPLAY);
        size = reader.bytes.size;
        for (unsigned round = 0; round < 100000; round++) {
                feed_frame(RESULT_DISPLAY, SLICE_LITERAL("{\"picture\":\"of many bytes\"}"));
                feed_frame(RESULT_DISPLAY, SLICE_LITERAL("not even a document"));
                expect_none(SLOT_BUSY);
                assert_int_equal(reader.bytes.size, size);
        }
        feed_end(OUTCOME_COMPLETED, 0);
        expect_event(SLOT_BUSY, SLOT_EV_END);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                reader_test(test_a_display_begins_with_its_place),
                reader_test(test_surplus_displays_are_dropped),
                reader_test(test_displays_share_one_bound),
                reader_test(test_dropped_displays_give_their_room_back),
        };

        return cmocka_run_group_tests_name("result-displays", tests, NULL, NULL);
}
