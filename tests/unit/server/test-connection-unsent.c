/* Answers that wait to be read: whose connection goes when they are too many. Ages are told, not
 * waited for. */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/connection_internal.h"

#define MIB         (1ULL << 20)
#define MS_PER_HOUR (3600 * 1000ULL)

enum { GREEDY, BUSY, OTHER, N_CONNECTIONS };

static Options options;
static ConnectionTable table;
static Connection connections[N_CONNECTIONS];
static int peers[N_CONNECTIONS];

static int set_up(void **state) {
        options = (Options){.bodies_bytes_max = 100 * MIB}; /* so it is 128 MiB */
        table = (ConnectionTable){.options = &options};
        for (int i = 0; i < N_CONNECTIONS; i++) {
                int fds[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
                connections[i] = (Connection){.table = &table, .fd = fds[0], .next = table.first};
                table.first = &connections[i];
                peers[i] = fds[1];
        }
        return 0;
}

static int tear_down(void **state) {
        for (int i = 0; i < N_CONNECTIONS; i++) {
                (void) close(connections[i].fd);
                (void) close(peers[i]);
        }
        return 0;
}

static bool is_ended(int which) {
        struct pollfd peer = {.fd = peers[which], .events = POLLIN};

        return poll(&peer, 1, 0) == 1;
}

static void hold(int which, HeldAnswer *answer, uint64_t bytes) {
        connection_hold_answer(&connections[which], answer, bytes);
}

static void end(int which, const HeldAnswer *answer) {
        connection_answer_ended(&connections[which], answer);
}

/* As if the answer had been held for so much longer. */
static void grow_older(int which, HeldAnswer *answer, uint64_t ms) {
        answer->since_sum -= answer->bytes * ms;
        connections[which].unsent.since_sum -= answer->bytes * ms;
}

static void test_nobody_goes_below_the_bound(void **state) {
        HeldAnswer answers[N_CONNECTIONS] = {0};

        hold(GREEDY, &answers[GREEDY], 50 * MIB);
        grow_older(GREEDY, &answers[GREEDY], MS_PER_HOUR);
        hold(OTHER, &answers[OTHER], 78 * MIB);
        for (int i = 0; i < N_CONNECTIONS; i++)
                assert_false(is_ended(i));
        hold(OTHER, &answers[OTHER], 1);
        assert_true(is_ended(GREEDY));
        assert_false(is_ended(BUSY) || is_ended(OTHER));
}

/* That of a proxy has always some answer on its way; none of them for long. */
static void test_one_answer_after_the_other(void **state) {
        HeldAnswer first = {0}, second = {0}, greedy = {0}, other = {0};

        hold(BUSY, &first, 20 * MIB);
        grow_older(BUSY, &first, MS_PER_HOUR);
        hold(BUSY, &second, 20 * MIB);
        end(BUSY, &first);
        hold(GREEDY, &greedy, 100 * MIB);
        /* Far longer than this test lasts, and less than the first one's hour counts for. */
        grow_older(GREEDY, &greedy, MS_PER_HOUR / 6);
        hold(OTHER, &other, 10 * MIB);
        assert_true(is_ended(GREEDY));
        assert_false(is_ended(BUSY) || is_ended(OTHER));
}

/* A long file that is read has other bytes in memory all the time. */
static void test_an_answer_that_moves(void **state) {
        HeldAnswer file = {0}, greedy = {0}, other = {0};

        hold(BUSY, &file, MIB);
        grow_older(BUSY, &file, MS_PER_HOUR);
        connection_renew_answer(&connections[BUSY], &file);
        hold(GREEDY, &greedy, 100 * MIB);
        grow_older(GREEDY, &greedy, MS_PER_HOUR / 200);
        hold(OTHER, &other, 30 * MIB);
        assert_true(is_ended(GREEDY));
        assert_false(is_ended(BUSY) || is_ended(OTHER));
}

/* What has been let go is on its way out, and counts for nobody else. */
static void test_all_is_given_back(void **state) {
        HeldAnswer greedy = {0}, other = {0};

        hold(GREEDY, &greedy, 200 * MIB);
        assert_true(is_ended(GREEDY));
        hold(GREEDY, &greedy, MIB);
        hold(OTHER, &other, 128 * MIB);
        assert_false(is_ended(OTHER));
        end(OTHER, &other);
        end(GREEDY, &greedy);
        assert_int_equal(table.unsent_bytes, 0);
        assert_int_equal(table.let_go_bytes, 0);
        for (int i = 0; i < N_CONNECTIONS; i++) {
                assert_int_equal(connections[i].unsent.bytes, 0);
                assert_int_equal(connections[i].unsent.since_sum, 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nobody_goes_below_the_bound, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_one_answer_after_the_other, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_an_answer_that_moves, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_all_is_given_back, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("answers that wait to be read", tests, NULL, NULL);
}
