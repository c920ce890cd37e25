/* The laws of the table of moves: whatever comes, a run is answered once, and nobody slips out. */

#include "pool/slot.h"

#include "helpers.h"
#include "wire/run.h"

/* What pool/supervise.c, pool/spares.c and pool/generation.c can do or meet in each state. */
static const struct {
        SlotState state;
        SlotEvent event;
} possible[] = {
        {SLOT_EMPTY, SLOT_EV_SPAWN},       {SLOT_EMPTY, SLOT_EV_DIRTY},
        {SLOT_STARTING, SLOT_EV_READY},    {SLOT_STARTING, SLOT_EV_VIOLATION},
        {SLOT_STARTING, SLOT_EV_DEADLINE}, {SLOT_STARTING, SLOT_EV_RETIRE},
        {SLOT_STARTING, SLOT_EV_EXIT},     {SLOT_IDLE, SLOT_EV_TOUCH},
        {SLOT_IDLE, SLOT_EV_ASSIGN},       {SLOT_IDLE, SLOT_EV_VIOLATION},
        {SLOT_IDLE, SLOT_EV_RETIRE},       {SLOT_IDLE, SLOT_EV_EXIT},
        {SLOT_IDLE, SLOT_EV_PROBE},        {SLOT_PROBING, SLOT_EV_PROBED},
        {SLOT_PROBING, SLOT_EV_VIOLATION}, {SLOT_PROBING, SLOT_EV_DEADLINE},
        {SLOT_PROBING, SLOT_EV_RETIRE},    {SLOT_PROBING, SLOT_EV_EXIT},
        {SLOT_TOUCHING, SLOT_EV_TOUCHED},  {SLOT_TOUCHING, SLOT_EV_VIOLATION},
        {SLOT_TOUCHING, SLOT_EV_DEADLINE}, {SLOT_TOUCHING, SLOT_EV_EXIT},
        {SLOT_BUSY, SLOT_EV_END},          {SLOT_BUSY, SLOT_EV_END_KEPT},
        {SLOT_BUSY, SLOT_EV_VIOLATION},    {SLOT_BUSY, SLOT_EV_DEADLINE},
        {SLOT_BUSY, SLOT_EV_CANCEL},       {SLOT_BUSY, SLOT_EV_EXIT},
        {SLOT_IDLE, SLOT_EV_HOLD},         {SLOT_BUSY, SLOT_EV_END_HELD},
        {SLOT_HELD, SLOT_EV_ASSIGN},       {SLOT_HELD, SLOT_EV_FORK},
        {SLOT_HELD, SLOT_EV_VIOLATION},    {SLOT_HELD, SLOT_EV_DEADLINE},
        {SLOT_HELD, SLOT_EV_RETIRE},       {SLOT_HELD, SLOT_EV_EXIT},
        {SLOT_FORKING, SLOT_EV_FORKED},    {SLOT_FORKING, SLOT_EV_VIOLATION},
        {SLOT_FORKING, SLOT_EV_DEADLINE},  {SLOT_FORKING, SLOT_EV_RETIRE},
        {SLOT_FORKING, SLOT_EV_EXIT},      {SLOT_RETIRING, SLOT_EV_DEADLINE},
        {SLOT_RETIRING, SLOT_EV_EXIT},
};

static bool answers(SlotAction action) {
        return action == SLOT_ANSWER_AND_KILL || action == SLOT_ANSWER_AND_KEEP ||
               action == SLOT_ANSWER_AND_HOLD || action == SLOT_ANSWER_AND_RELEASE;
}

static bool kills(SlotAction action) {
        return action == SLOT_ANSWER_AND_KILL || action == SLOT_KILL;
}

static bool has_process(SlotState state) {
        return state != SLOT_EMPTY && state != SLOT_QUARANTINED;
}

/* Calls check for each pair that somebody has decided about. */
static void for_each_move(void (*check)(SlotState state, SlotEvent event, SlotMove move)) {
        for (int state = 0; state < _SLOT_STATES; state++) {
                for (int event = 0; event < _SLOT_EVENTS; event++) {
                        SlotMove move = slot_next((SlotState) state, (SlotEvent) event);

                        if (move.action != SLOT_FORBIDDEN)
                                check((SlotState) state, (SlotEvent) event, move);
                }
        }
}

static void test_all_that_can_happen_is_decided(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(possible); i++) {
                if (slot_next(possible[i].state, possible[i].event).action == SLOT_FORBIDDEN)
                        fail_msg("nobody has decided about %s in %s",
                                 slot_event_name(possible[i].event),
                                 slot_state_name(possible[i].state));
        }
}

/* In every state in which its pipe is read, a worker may send anything at any time. */
static void test_no_frame_is_undecided(void **state) {
        static const SlotState heard[] = {SLOT_STARTING, SLOT_IDLE, SLOT_TOUCHING, SLOT_PROBING,
                                          SLOT_BUSY,     SLOT_HELD, SLOT_FORKING};

        for (size_t i = 0; i < N_ELEMENTS(heard); i++) {
                for (unsigned kind = 0; kind < 300; kind++) {
                        int part = 7;
                        SlotEvent event = slot_event_of_frame(
                                heard[i], kind == 299 ? UINT32_MAX : kind, &part);

                        assert_in_range(part, 0, 1);
                        if (part)
                                assert_int_equal(heard[i], SLOT_BUSY);
                        else
                                assert_int_not_equal(slot_next(heard[i], event).action,
                                                     SLOT_FORBIDDEN);
                }
        }
}

static void test_each_frame_has_its_state(void **state) {
        static const struct {
                SlotState state;
                unsigned kind;
                SlotEvent event;
        } wanted[] = {
                {SLOT_STARTING, RESULT_READY, SLOT_EV_READY},
                {SLOT_TOUCHING, RESULT_TOUCHED, SLOT_EV_TOUCHED},
                {SLOT_PROBING, RESULT_PROBED, SLOT_EV_PROBED},
                {SLOT_BUSY, RESULT_END, SLOT_EV_END},
        };

        for (int in = 0; in < _SLOT_STATES; in++) {
                for (unsigned kind = 0; kind <= _RESULT_KIND_MAX; kind++) {
                        SlotEvent event = SLOT_EV_VIOLATION;
                        bool is_part =
                                in == SLOT_BUSY && kind >= RESULT_DISPLAY && kind < RESULT_END;
                        int part;

                        for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
                                if ((int) wanted[i].state == in && wanted[i].kind == kind)
                                        event = wanted[i].event;
                        }
                        assert_int_equal(slot_event_of_frame((SlotState) in, kind, &part), event);
                        assert_int_equal(part, is_part);
                }
        }
}

static void check_answer(SlotState state, SlotEvent event, SlotMove move) {
        /* Answered exactly once: on the way out of BUSY, unless nobody wants the answer. */
        assert_int_equal(answers(move.action), state == SLOT_BUSY && event != SLOT_EV_CANCEL);
        if (state == SLOT_BUSY)
                assert_int_not_equal(move.next, SLOT_BUSY);
        if (state == SLOT_BUSY && event == SLOT_EV_CANCEL)
                assert_int_equal(move.action, SLOT_KILL);
}

static void test_a_run_is_answered_exactly_once(void **state) {
        for_each_move(check_answer);
}

static void check_start(SlotState state, SlotEvent event, SlotMove move) {
        bool starts = (state == SLOT_IDLE || state == SLOT_HELD) && event == SLOT_EV_ASSIGN;

        assert_int_equal(move.next == SLOT_BUSY, starts);
        assert_int_equal(move.action == SLOT_SEND_RUN, starts);
}

static void check_canary(SlotState state, SlotEvent event, SlotMove move) {
        bool probes = (state == SLOT_IDLE || state == SLOT_HELD) && event == SLOT_EV_PROBE;
        bool answers_probe = state == SLOT_PROBING && event == SLOT_EV_PROBED;

        assert_int_equal(move.next == SLOT_PROBING, probes || answers_probe);
        assert_int_equal(move.action == SLOT_SEND_PROBE, probes);
        assert_int_equal(move.action == SLOT_TAKE_ANSWER, answers_probe);
        /* It has tried to change what later runs would find: it takes none itself. */
        if (state == SLOT_PROBING)
                assert_true(move.next == SLOT_PROBING || move.next == SLOT_RETIRING ||
                            move.next == SLOT_EMPTY);
}

static void test_a_canary_takes_no_run(void **state) {
        for_each_move(check_canary);
}

static void test_only_an_idle_worker_is_given_a_run(void **state) {
        for_each_move(check_start);
}

static void check_death(SlotState state, SlotEvent event, SlotMove move) {
        /* Who is killed is condemned, and who is condemned has been killed. */
        assert_int_equal(kills(move.action), state != SLOT_RETIRING && move.next == SLOT_RETIRING);
        /* A condemned worker only ever ends. */
        if (state == SLOT_RETIRING)
                assert_true(move.next == SLOT_RETIRING || move.next == SLOT_EMPTY);
        /* A slot is free when its process is gone, and not before. */
        assert_int_equal(move.next == SLOT_EMPTY, event == SLOT_EV_EXIT);
        assert_int_equal(event == SLOT_EV_EXIT,
                         move.action == SLOT_RELEASE || move.action == SLOT_ANSWER_AND_RELEASE);
}

static void test_a_slot_is_freed_by_the_exit_alone(void **state) {
        for_each_move(check_death);
        for (int i = 0; i < _SLOT_STATES; i++) {
                if (has_process((SlotState) i))
                        assert_int_equal(slot_next((SlotState) i, SLOT_EV_EXIT).next, SLOT_EMPTY);
        }
}

/* What a session's worker knows is nobody else's: it never comes back among the idle ones. */
static void check_session(SlotState state, SlotEvent event, SlotMove move) {
        bool ends_run = state == SLOT_BUSY && event == SLOT_EV_END_HELD;

        if (state == SLOT_HELD || state == SLOT_FORKING)
                assert_true(move.next != SLOT_IDLE && move.next != SLOT_STARTING);
        if (move.next == SLOT_HELD)
                assert_true(ends_run || (state == SLOT_IDLE && event == SLOT_EV_HOLD) ||
                            (state == SLOT_FORKING && event == SLOT_EV_FORKED));
        assert_int_equal(move.next == SLOT_FORKING, state == SLOT_HELD && event == SLOT_EV_FORK);
}

static void test_a_sessions_worker_is_never_anybody_elses(void **state) {
        for_each_move(check_session);
}

static void check_quarantine(SlotState state, SlotEvent event, SlotMove move) {
        assert_int_not_equal(state, SLOT_QUARANTINED);
        assert_int_equal(move.next == SLOT_QUARANTINED,
                         state == SLOT_EMPTY && event == SLOT_EV_DIRTY);
}

static void test_nothing_leaves_quarantine(void **state) {
        for_each_move(check_quarantine);
}

static void check_deadline(SlotState state, SlotEvent event, SlotMove move) {
        /* Every state but the two at rest has a deadline, so that no worker can hold a slot. */
        if (event == SLOT_EV_DEADLINE)
                assert_int_equal(move.next, SLOT_RETIRING);
}

static void test_no_worker_can_hold_its_slot(void **state) {
        static const SlotState timed[] = {SLOT_STARTING, SLOT_TOUCHING, SLOT_PROBING, SLOT_BUSY,
                                          SLOT_HELD,     SLOT_FORKING,  SLOT_RETIRING};

        for_each_move(check_deadline);
        for (size_t i = 0; i < N_ELEMENTS(timed); i++)
                assert_int_not_equal(slot_next(timed[i], SLOT_EV_DEADLINE).action, SLOT_FORBIDDEN);
}

static void test_names_tell_apart(void **state) {
        for (int i = 0; i < _SLOT_STATES; i++) {
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(slot_state_name((SlotState) i),
                                                slot_state_name((SlotState) j));
        }
        for (int i = 0; i < _SLOT_EVENTS; i++) {
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(slot_event_name((SlotEvent) i),
                                                slot_event_name((SlotEvent) j));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_that_can_happen_is_decided),
                cmocka_unit_test(test_no_frame_is_undecided),
                cmocka_unit_test(test_each_frame_has_its_state),
                cmocka_unit_test(test_a_run_is_answered_exactly_once),
                cmocka_unit_test(test_a_canary_takes_no_run),
                cmocka_unit_test(test_only_an_idle_worker_is_given_a_run),
                cmocka_unit_test(test_a_slot_is_freed_by_the_exit_alone),
                cmocka_unit_test(test_a_sessions_worker_is_never_anybody_elses),
                cmocka_unit_test(test_nothing_leaves_quarantine),
                cmocka_unit_test(test_no_worker_can_hold_its_slot),
                cmocka_unit_test(test_names_tell_apart),
        };

        return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
