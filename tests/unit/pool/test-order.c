/* How output, displays and the value of a run follow one another. */

#include "pool/order.h"

#include <stdio.h>

#include "helpers.h"

static RunResult result;
static Slice documents[] = {SLICE_LITERAL("{1}"), SLICE_LITERAL("{2}"), SLICE_LITERAL("{3}")};
static StreamPlace places[3], switches[8];

static int set_up(void **state) {
        result = (RunResult){.displays = documents, .places = places};
        memset(places, 0, sizeof(places));
        return 0;
}

static void print(RunStream stream, const char *text) {
        result.output[stream] = (RunOutput){
                .head = slice_of_text(text),
                .total_bytes = strlen(text),
        };
}

static void print_cut(RunStream stream, const char *head, uint64_t gap, const char *tail) {
        result.output[stream] = (RunOutput){
                .head = slice_of_text(head),
                .tail = slice_of_text(tail),
                .total_bytes = strlen(head) + gap + strlen(tail),
                .truncated = true,
        };
}

static void show(uint64_t after_stdout, uint64_t after_stderr) {
        places[result.n_displays++] = (StreamPlace){.bytes = {after_stdout, after_stderr}};
}

static void switch_at(uint64_t after_stdout, uint64_t after_stderr) {
        size_t n = result.switches.size / sizeof(switches[0]);

        switches[n] = (StreamPlace){.bytes = {after_stdout, after_stderr}};
        result.switches = slice_of(switches, (n + 1) * sizeof(switches[0]));
}

/* "o:…" and "e:…" are output, "~N~" in it what was left out, "{…}" documents, "=" the value. */
static void expect(const char *wanted) {
        char text[512] = "";
        RunOrder order = order_of(&result);
        RunPiece piece;

        while (order_next(&order, &piece)) {
                size_t size = strlen(text), room = sizeof(text) - size;
                char *at = text + size;
                const RunOutput *output = &piece.output;
                uint64_t gap = output->total_bytes - output->head.size - output->tail.size;

                if (piece.kind != PIECE_OUTPUT) {
                        (void) snprintf(at, room, "%s%.*s ", piece.kind == PIECE_VALUE ? "=" : "",
                                        (int) piece.document.size, piece.document.data);
                        continue;
                }
                (void) snprintf(at, room, "%c:%.*s", piece.stream == RUN_STDOUT ? 'o' : 'e',
                                (int) output->head.size, output->head.data);
                assert_int_equal(output->truncated, gap > 0);
                if (gap > 0)
                        (void) snprintf(text + strlen(text), room, "~%ju~", (uintmax_t) gap);
                (void) snprintf(text + strlen(text), room, "%.*s ", (int) output->tail.size,
                                output->tail.data ? (const char *) output->tail.data : "");
        }
        assert_string_equal(text, wanted);
}

static void test_nothing(void **state) {
        expect("");
}

static void test_streams_are_cut_where_displays_are(void **state) {
        print(RUN_STDOUT, "abc");
        print(RUN_STDERR, "xyz");
        show(1, 0);
        show(1, 2);
        show(3, 3);
        expect("o:a {1} e:xy {2} o:bc e:z {3} ");
}

static void test_without_places_displays_are_last(void **state) {
        print(RUN_STDOUT, "abc");
        show(0, 0);
        result.places = NULL;
        result.value = SLICE_LITERAL("{v}");
        expect("o:abc ={v} {1} ");
        result.displays_before_value = 1;
        expect("o:abc {1} ={v} ");
}

static void test_the_value_comes_before_the_figures_of_the_end(void **state) {
        print(RUN_STDOUT, "abcd");
        show(1, 0);
        show(2, 0);
        show(4, 0);
        result.value = SLICE_LITERAL("{v}");
        expect("o:a ={v} {1} o:b {2} o:cd {3} ");
        result.displays_before_value = 2;
        expect("o:a {1} o:b {2} o:cd ={v} {3} ");
        result.displays_before_value = 3;
        expect("o:a {1} o:b {2} o:cd {3} ={v} ");
        result.n_displays = result.displays_before_value = 0;
        expect("o:abcd ={v} ");
}

static void test_streams_take_turns(void **state) {
        print(RUN_STDOUT, "abc");
        print(RUN_STDERR, "xyz");
        switch_at(1, 0);
        switch_at(1, 1);
        switch_at(2, 1);
        switch_at(2, 3);
        expect("o:a e:x o:b e:yz o:c ");
        /* After the last one that is told, standard output comes first. */
        result.switches.size = 2 * sizeof(switches[0]);
        expect("o:a e:x o:bc e:yz ");
        result.switches.size = 0;
        expect("o:abc e:xyz ");
}

static void test_turns_and_displays(void **state) {
        print(RUN_STDOUT, "abc");
        print(RUN_STDERR, "xyz");
        switch_at(2, 0);
        switch_at(2, 2);
        show(1, 0);
        show(2, 1);
        show(3, 2);
        expect("o:a {1} o:b e:x {2} e:y o:c {3} e:z ");
}

static void test_claims_are_held_to_what_there_is(void **state) {
        print(RUN_STDOUT, "abc");
        print(RUN_STDERR, "x");
        show(UINT64_MAX, 0);
        show(1, UINT64_MAX);
        show(0, 0);
        switch_at(UINT64_MAX, UINT64_MAX);
        switch_at(0, 0);
        switch_at(2, 0);
        expect("o:abc {1} e:x {2} {3} ");
}

static void test_each_byte_comes_once_whatever_is_claimed(void **state) {
        uint32_t chance = 1;

        print(RUN_STDOUT, "abcdefgh");
        print_cut(RUN_STDERR, "stu", 4, "xyz");
        for (unsigned round = 0; round < 20000; round++) {
                uint64_t n[_RUN_STREAMS] = {0}, n_documents = 0, gaps = 0;
                RunOrder order;
                RunPiece piece;

                result.n_displays = 0;
                result.switches.size = 0;
                for (unsigned i = 0; i < 11; i++) {
                        uint64_t a, b;

                        chance = chance * 1664525U + 1013904223U;
                        a = chance >> 28;
                        b = chance >> 24 & 15;
                        if (i < 3)
                                show(a, b);
                        else
                                switch_at(a, b);
                }
                order = order_of(&result);
                while (order_next(&order, &piece)) {
                        if (piece.kind != PIECE_OUTPUT) {
                                n_documents++;
                                continue;
                        }
                        n[piece.stream] += piece.output.total_bytes;
                        gaps += piece.output.truncated;
                }
                assert_int_equal(n[RUN_STDOUT], 8);
                assert_int_equal(n[RUN_STDERR], 10);
                assert_int_equal(n_documents, 3);
                assert_int_equal(gaps, 1);
        }
}

static void test_what_was_left_out_is_told_once(void **state) {
        print_cut(RUN_STDOUT, "ab", 6, "yz");
        expect("o:ab~6~yz ");
        show(1, 0);
        show(4, 0);
        show(9, 0);
        expect("o:a {1} o:b~6~ {2} o:y {3} o:z ");
        /* Two displays in the middle of it. */
        places[0].bytes[0] = 2;
        places[1].bytes[0] = 4;
        places[2].bytes[0] = 6;
        expect("o:ab {1} o:~6~ {2} {3} o:yz ");
        /* Nothing is kept at all. */
        result.n_displays = 1;
        places[0].bytes[0] = 3;
        print_cut(RUN_STDOUT, "", 6, "");
        expect("o:~6~ {1} ");
}

static void test_what_could_not_be_kept_is_not_told(void **state) {
        print(RUN_STDOUT, "abc");
        result.output[RUN_STDOUT].total_bytes = 100;
        show(50, 0);
        expect("o:abc {1} ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_nothing, set_up),
                cmocka_unit_test_setup(test_streams_are_cut_where_displays_are, set_up),
                cmocka_unit_test_setup(test_without_places_displays_are_last, set_up),
                cmocka_unit_test_setup(test_the_value_comes_before_the_figures_of_the_end, set_up),
                cmocka_unit_test_setup(test_streams_take_turns, set_up),
                cmocka_unit_test_setup(test_turns_and_displays, set_up),
                cmocka_unit_test_setup(test_claims_are_held_to_what_there_is, set_up),
                cmocka_unit_test_setup(test_each_byte_comes_once_whatever_is_claimed, set_up),
                cmocka_unit_test_setup(test_what_was_left_out_is_told_once, set_up),
                cmocka_unit_test_setup(test_what_could_not_be_kept_is_not_told, set_up),
        };

        return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
