/* What the kernel says about a child of our own. */

#include "pool/meter.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helpers.h"
#include "kit/clock.h"

#define MEGABYTES 24

/* Linux 6.1 counts the pages of each thread by itself, later ones those of each core, and /proc
 * need not tell of what has not been added up yet: some 64 pages for each. */
#define UNTOLD_KB 1024

static int orders[2], reports[2];
static pid_t child;
static Meter meter;

static void child_main(void);

/* In a thread; the first one has ended when its state is that of a zombie. */
static void *go_on_alone(void *data) {
        char text[256] = "", report = 't';

        while (!strstr(text, "\nState:\tZ")) {
                int fd = open("/proc/self/status", O_RDONLY);
                ssize_t n = read(fd, text, sizeof(text) - 1);

                text[n > 0 ? n : 0] = '\0';
                (void) close(fd);
        }
        if (write(reports[1], &report, 1) == 1)
                child_main();
        return NULL;
}

/* The child: 'b' burns processor time for ever, 'm' takes memory, and says so when it is done; 't'
 * goes on in another thread. */
static void child_main(void) {
        char order;

        while (read(orders[0], &order, 1) == 1) {
                pthread_t thread;

                if (order == 't' && pthread_create(&thread, NULL, go_on_alone, NULL) == 0)
                        (void) syscall(SYS_exit, 0);
                if (order == 'm') {
                        uint8_t *memory = mmap(NULL, MEGABYTES << 20, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                        if (memory != MAP_FAILED)
                                memset(memory, 1, MEGABYTES << 20);
                }
                if (write(reports[1], &order, 1) != 1)
                        break;
                if (order == 'b') {
                        for (volatile unsigned n = 0;; n++)
                                ;
                }
        }
        _exit(0);
}

static void order(char what) {
        char report;

        assert_int_equal(write(orders[1], &what, 1), 1);
        assert_int_equal(read(reports[0], &report, 1), 1);
        assert_int_equal(report, what);
}

static int set_up(void **state) {
        assert_int_equal(pipe(orders), 0);
        assert_int_equal(pipe(reports), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                child_main();
        assert_int_equal(meter_open(&meter, child), 0);
        order('-');
        return 0;
}

static void reap(void) {
        if (child > 0) {
                (void) kill(child, SIGKILL);
                assert_int_equal(waitpid(child, NULL, 0), child);
        }
        child = 0;
}

static int tear_down(void **state) {
        reap();
        meter_close(&meter);
        for (int i = 0; i < 2; i++) {
                (void) close(orders[i]);
                (void) close(reports[i]);
        }
        return 0;
}

static void test_processor_time(void **state) {
        uint64_t before_ns, now_ns;

        meter_start(&meter);
        assert_true(meter_cpu_ns(&meter) < 100 * NS_PER_MS); /* it sleeps */
        order('b');
        before_ns = meter_cpu_ns(&meter);
        do {
                now_ns = meter_cpu_ns(&meter);
                assert_true(now_ns >= before_ns);
                before_ns = now_ns;
        } while (now_ns < 20 * NS_PER_MS);

        /* A second run begins at nothing. */
        (void) kill(child, SIGSTOP);
        assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
        meter_start(&meter);
        assert_true(meter_cpu_ns(&meter) < 10 * NS_PER_MS);
}

static void test_memory(void **state) {
        MemoryReading before, after;

        meter_baseline(&meter);
        before = meter_memory(&meter);
        assert_true(before.peak_kb > 0);
        assert_true(before.own_kb > 0);
        assert_true(meter_growth_bytes(&meter, before) < 1 << 20);

        order('m');
        after = meter_memory(&meter);
        assert_true(after.peak_kb >= (MEGABYTES << 10) - UNTOLD_KB);
        assert_in_range(meter_growth_bytes(&meter, after), (MEGABYTES << 20) - (UNTOLD_KB << 10),
                        (MEGABYTES + 8) << 20);
}

static void test_memory_of_other_threads(void **state) {
        meter_baseline(&meter);
        order('t');
        order('m');
        assert_in_range(meter_growth_bytes(&meter, meter_memory(&meter)),
                        (MEGABYTES << 20) - (UNTOLD_KB << 10), (MEGABYTES + 8) << 20);
        assert_true(meter_memory(&meter).peak_kb >= (MEGABYTES << 10) - UNTOLD_KB);
}

static void test_less_than_before_is_no_growth(void **state) {
        meter.baseline_kb = 1 << 30;
        assert_int_equal(meter_growth_bytes(&meter, meter_memory(&meter)), 0);
}

static void test_a_dead_process_says_nothing(void **state) {
        MemoryReading reading;

        meter_start(&meter);
        reap();
        assert_int_equal(meter_cpu_ns(&meter), 0);
        reading = meter_memory(&meter);
        assert_int_equal(reading.peak_kb, 0);
        assert_int_equal(reading.own_kb, 0);
        assert_int_equal(meter_growth_bytes(&meter, reading), 0);
}

static void test_a_process_that_is_not_there(void **state) {
        Meter other;
        pid_t gone = child;

        reap();
        assert_true(meter_open(&other, gone) < 0);
        meter_close(&other);
}

#define meter_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                meter_test(test_processor_time),
                meter_test(test_memory),
                meter_test(test_memory_of_other_threads),
                meter_test(test_less_than_before_is_no_growth),
                meter_test(test_a_dead_process_says_nothing),
                meter_test(test_a_process_that_is_not_there),
        };

        return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
