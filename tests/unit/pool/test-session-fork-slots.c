/* Copies of live sessions: the slots and descriptors that they take, and what they wait for. */

#include <sys/resource.h>

#include "copies.h"
#include "pool/session_fork.h"

/* A copy whose source has ended, in whose cell it is: two slots for one session. */
static Session *make_orphan(void) {
        Session *source = make_source(), *copy = copy_of(source, "orphan");

        session_end(source);
        drive_until(has_spares());
        assert_int_equal(counters().sessions, 1);
        return copy;
}

/* The cell of a source that has ended makes no room: its copies live there. */
static void test_a_spare_makes_room_for_a_copy(void **state) {
        uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
        Told told = {.result = -1};
        Session *orphan;

        need_copies();
        driver.config.sessions_max = 2;
        orphan = make_orphan();
        /* Not at once where it takes long to end a process. */
        while (told.result != POOL_OK && clock_now_ns() < until_ns) {
                told = (Told){0};
                assert_int_equal(ask_for_copy(orphan, "copy", &told), POOL_OK);
                hear(&told);
        }
        assert_int_equal(told.result, POOL_OK);
        say_in(told.copy, "print(x)", "[1]\n");
}

/* Nobody is promised an interpreter that cannot be made while that cell is there. */
static void test_a_cell_that_stays_counts_as_a_session(void **state) {
        SessionOptions options = options_of("a");
        Session *orphan, *session;
        Told told = {0};

        need_copies();
        driver.config.sessions_max = 2;
        driver.template.session_spares = 0;
        orphan = make_orphan();
        assert_int_equal(session_create(driver.pool, &options, &session), SESSION_E_TOO_MANY);
        assert_int_equal(ask_for_copy(orphan, "copy", &told), SESSION_E_TOO_MANY);
        assert_int_equal(info_of(orphan).state, SESSION_IDLE);
        driver.pool->config.sessions_evict = true;
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        assert_null(find_session("orphan"));
        say_in(session, "print(1)", "1\n");
}

static void test_a_copy_does_not_wait_for_ever(void **state) {
        Session *source;
        SlotList free_slots;
        Told told = {0};

        need_copies();
        driver.template.session_spares = 0;
        source = make_source();
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        free_slots = driver.pool->free_slots;
        driver.pool->free_slots = (SlotList){0};
        hear(&told);
        assert_int_equal(told.result, SESSION_E_TOO_MANY);
        assert_null(find_session("copy"));
        driver.pool->free_slots = free_slots;
        say_in(source, "print(x)", "[1]\n");
}

/* Else one copy after the other keeps strays from being looked for, and that all new workers. */
static void test_no_copy_is_ordered_before_a_sweep(void **state) {
        Session *source;
        Told told = {0};

        need_copies();
        source = make_source();
        drive_until(has_spares() && !driver.pool->sweep_wanted);
        /* Another copy is on its way. */
        driver.pool->sessions.n_copies_unnamed++;
        driver.pool->sweep_wanted = true;
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        drive_until(told.calls > 0 || source->fork->is_ordered || source->fork->waits);
        assert_int_equal(told.calls, 0);
        assert_false(source->fork->is_ordered);
        driver.pool->sessions.n_copies_unnamed--;
        hear(&told);
        assert_true(told.result == POOL_OK || told.result == SESSION_E_TOO_MANY);
        say_in(source, "print(x)", "[1]\n");
}

/* As code can bring about while its files are copied. */
static void test_a_source_that_stops_listening(void **state) {
        Told told = {0};
        Session *source;

        need_copies();
        source = make_source();
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        pool_unwatch(driver.pool, source->slot->worker.control_fd);
        close_fd(&source->slot->worker.control_fd);
        hear(&told);
        assert_int_equal(told.result, SESSION_E_UNFORKABLE);
        assert_null(find_session("copy"));
        say_in(source, "print(x)", "[1]\n");
}

static void turn_without_descriptors(uint64_t until_ns) {
        struct rlimit before, none;
        int fd = dup(driver.folder.fd);

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){(rlim_t) fd, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        turn(until_ns);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_a_copy_that_cannot_be_supervised(void **state) {
        uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
        const Template *template;
        Told told = {0};
        Session *source;

        need_copies();
        source = make_source();
        template = source->template;
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        drive_until(told.calls > 0 || source->fork->is_ordered);
        while (told.calls == 0 && !source->fork->has_process)
                turn_without_descriptors(until_ns);
        hear(&told);
        drive_until(template->sessions.n_states[SLOT_RETIRING] == 0);
        if (told.result == POOL_OK)
                session_end(told.copy);
        say_in(source, "print(x)", "[1]\n");
        copy_of(source, "another");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                session_test(test_a_spare_makes_room_for_a_copy),
                session_test(test_a_cell_that_stays_counts_as_a_session),
                session_test(test_a_copy_does_not_wait_for_ever),
                session_test(test_no_copy_is_ordered_before_a_sweep),
                session_test(test_a_source_that_stops_listening),
                session_test(test_a_copy_that_cannot_be_supervised),
        };

        return driver_run_tests("session-fork-slots", tests);
}
