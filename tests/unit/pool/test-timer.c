/* The heap of deadlines, against a model that looks at all of them. */

#include "pool/timer.h"

#include <poll.h>
#include <sys/timerfd.h>

#include "helpers.h"
#include "kit/clock.h"

#define N 50

static TimerHeap heap;
static Timer timers[N];

static int set_up(void **state) {
        for (uint32_t i = 0; i < N; i++)
                timers[i] = (Timer){.position = TIMER_OFF, .what = i};
        return timer_heap_init(&heap, N);
}

static int tear_down(void **state) {
        timer_heap_done(&heap);
        return 0;
}

/* Nobody is later than his children, everybody knows his place. */
static void check_order(void) {
        for (uint32_t i = 0; i < heap.n_timers; i++) {
                assert_int_equal(heap.timers[i]->position, i);
                if (i > 0)
                        assert_true(heap.timers[(i - 1) / 2]->deadline_ns <=
                                    heap.timers[i]->deadline_ns);
        }
}

static void take_what_is_due(bool *is_set, const uint64_t *deadlines, uint64_t now_ns) {
        uint64_t before_ns = 0;
        Timer *timer;

        while ((timer = timer_due(&heap, now_ns))) {
                assert_true(is_set[timer->what]);
                assert_true(deadlines[timer->what] <= now_ns);
                assert_true(deadlines[timer->what] >= before_ns);
                before_ns = deadlines[timer->what];
                is_set[timer->what] = false;
                assert_int_equal(timer->position, TIMER_OFF);
        }
        for (uint32_t i = 0; i < N; i++)
                assert_true(!is_set[i] || deadlines[i] > now_ns);
}

static void test_random_operations(void **state) {
        bool is_set[N] = {false};
        uint64_t deadlines[N] = {0};
        Dice dice = {3};

        for (unsigned round = 0; round < 100000; round++) {
                uint32_t i = (uint32_t) dice_below(&dice, N);
                uint32_t n_set = 0;

                switch (dice_below(&dice, 4)) {
                case 0:
                case 1:
                        /* Few different ones, so that equal deadlines meet. */
                        deadlines[i] = 1000 + dice_below(&dice, 60);
                        is_set[i] = true;
                        timer_set(&heap, &timers[i], deadlines[i]);
                        break;
                case 2:
                        is_set[i] = false;
                        timer_clear(&heap, &timers[i]);
                        break;
                default:
                        if (dice_below(&dice, 8) == 0)
                                take_what_is_due(is_set, deadlines, 1000 + dice_below(&dice, 60));
                        break;
                }
                for (uint32_t j = 0; j < N; j++) {
                        n_set += is_set[j];
                        assert_int_equal(timers[j].position != TIMER_OFF, is_set[j]);
                }
                assert_int_equal(heap.n_timers, n_set);
                check_order();
        }
}

static bool is_readable(int timeout_ms) {
        struct pollfd fd = {.fd = heap.fd, .events = POLLIN};

        return poll(&fd, 1, timeout_ms) == 1;
}

static uint64_t stands_at_ns(void) {
        struct itimerspec when;

        assert_int_equal(timerfd_gettime(heap.fd, &when), 0);
        return clock_timespec_ns(&when.it_value);
}

static void test_the_descriptor_tells_the_first_deadline(void **state) {
        uint64_t now_ns = clock_now_ns();

        timer_set(&heap, &timers[0], now_ns + 3600 * NS_PER_S);
        timer_set(&heap, &timers[1], now_ns);
        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_true(is_readable(-1));
        timer_heap_acknowledge(&heap);
        assert_false(is_readable(0));
        assert_ptr_equal(timer_due(&heap, clock_now_ns()), &timers[1]);
        assert_null(timer_due(&heap, clock_now_ns()));

        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_false(is_readable(0));
        assert_true(stands_at_ns() > 3590 * NS_PER_S);
}

static void test_a_later_deadline_moves_nothing(void **state) {
        uint64_t now_ns = clock_now_ns();

        timer_set(&heap, &timers[0], now_ns + 1000 * NS_PER_S);
        assert_int_equal(timer_heap_arm(&heap), 0);
        timer_set(&heap, &timers[0], now_ns + 9000 * NS_PER_S);
        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_true(stands_at_ns() <= 1000 * NS_PER_S);
        timer_set(&heap, &timers[1], now_ns + 500 * NS_PER_S);
        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_true(stands_at_ns() <= 500 * NS_PER_S);
}

static void test_an_early_expiry_is_made_good(void **state) {
        uint64_t now_ns = clock_now_ns();

        timer_set(&heap, &timers[0], now_ns);
        assert_int_equal(timer_heap_arm(&heap), 0);
        timer_set(&heap, &timers[0], now_ns + 3600 * NS_PER_S);
        assert_true(is_readable(-1));
        timer_heap_acknowledge(&heap);
        assert_null(timer_due(&heap, clock_now_ns()));
        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_true(stands_at_ns() > 3590 * NS_PER_S);
}

static void test_a_deadline_of_zero_is_due(void **state) {
        timer_set(&heap, &timers[0], 0);
        assert_int_equal(timer_heap_arm(&heap), 0);
        assert_true(is_readable(-1));
}

#define timer_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                timer_test(test_random_operations),
                timer_test(test_the_descriptor_tells_the_first_deadline),
                timer_test(test_a_later_deadline_moves_nothing),
                timer_test(test_an_early_expiry_is_made_good),
                timer_test(test_a_deadline_of_zero_is_due),
        };

        return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
