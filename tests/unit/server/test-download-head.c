/* Ranges, and the names that a browser saves files under. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/api/download_head.h"
#include "server/media_type.h"

typedef struct RangeCase {
        const char *text;
        uint64_t file_size;
        RangeKind kind;
        uint64_t offset, size;
} RangeCase;

static const RangeCase range_cases[] = {
        {"bytes=0-99", 1000, RANGE_ONE, 0, 100},
        {"bytes=0-0", 1000, RANGE_ONE, 0, 1},
        {"bytes=999-", 1000, RANGE_ONE, 999, 1},
        {"bytes=0-", 1000, RANGE_ONE, 0, 1000},
        {"bytes=990-2000", 1000, RANGE_ONE, 990, 10},
        {"bytes=-10", 1000, RANGE_ONE, 990, 10},
        {"bytes=-2000", 1000, RANGE_ONE, 0, 1000},
        {"Bytes=5-6", 1000, RANGE_ONE, 5, 2},
        {"bytes=0-99999999999999999999999", 1000, RANGE_ONE, 0, 1000},
        {"bytes=1000-", 1000, RANGE_OUTSIDE, 0, 0},
        {"bytes=99999999999999999999999-", 1000, RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 1000, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=-5", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-1,5-6", 1000, RANGE_NONE, 0, 0},
        {"bytes=5-2", 1000, RANGE_NONE, 0, 0},
        {"bytes=5-0", 1000, RANGE_NONE, 0, 0},
        {"bytes=-", 1000, RANGE_NONE, 0, 0},
        {"bytes=", 1000, RANGE_NONE, 0, 0},
        {"bytes=5", 1000, RANGE_NONE, 0, 0},
        {"bytes=a-b", 1000, RANGE_NONE, 0, 0},
        {"bytes=1-2x", 1000, RANGE_NONE, 0, 0},
        {"lines=0-5", 1000, RANGE_NONE, 0, 0},
        {"", 1000, RANGE_NONE, 0, 0},
};

static void test_ranges(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(range_cases); i++) {
                const RangeCase *want = &range_cases[i];
                uint64_t offset = 0, size = 0;
                RangeKind kind =
                        download_range(slice_of_text(want->text), want->file_size, &offset, &size);

                if (kind != want->kind ||
                    (kind == RANGE_ONE && (offset != want->offset || size != want->size)))
                        fail_msg("%s of %d: %d, %d + %d", want->text, (int) want->file_size, kind,
                                 (int) offset, (int) size);
        }
}

static void test_dispositions(void **state) {
        char out[DISPOSITION_MAX], name[256];

        assert_int_equal(download_disposition("a/b c.csv", out), 58);
        assert_string_equal(out, "attachment; filename=\"b c.csv\"; filename*=UTF-8''b%20c.csv");
        (void) download_disposition("\"\\\xc3\xa4.txt", out);
        assert_string_equal(out,
                            "attachment; filename=\"____.txt\"; filename*=UTF-8''%22%5C%C3%A4.txt");
        memset(name, 0xff, 255);
        name[255] = '\0';
        assert_in_range(download_disposition(name, out), 1000, DISPOSITION_MAX - 1);
}

static void test_media_types(void **state) {
        assert_string_equal(media_type(SLICE_LITERAL("a.csv")), "text/csv");
        assert_string_equal(media_type(SLICE_LITERAL("a.b/c.PNG")), "image/png");
        assert_string_equal(media_type(SLICE_LITERAL("a.png/c")), "application/octet-stream");
        assert_string_equal(media_type(SLICE_LITERAL("png")), "application/octet-stream");
        assert_string_equal(media_type(SLICE_LITERAL("a.")), "application/octet-stream");
        assert_string_equal(media_type(SLICE_LITERAL("")), "application/octet-stream");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_dispositions),
                cmocka_unit_test(test_media_types),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
