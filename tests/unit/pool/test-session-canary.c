/*
 * No worker is given to a session before canaries of sessions have proven its generation. A session
 * that is less shut in than the server believes is had as in test-pool-canary.c: by telling the
 * server, once the canary is on its way, of a layer that it was not told to take. It is Landlock,
 * which alone keeps copies from what they are copies of; in a cell, runs can do without.
 */

#include <dirent.h>

#include "copies.h"
#include "pool/internal.h"
#include "../skip.h"

static const LayerMask landlock = 1U << LAYER_LANDLOCK;

static Template *template_of(void) {
        return &driver.pool->templates[0];
}

static SlotState state_of(ProofSubject subject) {
        return template_of()->canary.trials[subject].slot->state;
}

static bool has_cells_and_landlock(void) {
        LayerMask wanted = layer_bit(LAYER_MOUNT_NAMESPACE) | layer_bit(LAYER_SECCOMP) | landlock;

        isolate(0);
        return (driver.plan.layers & wanted) == wanted;
}

/* Without Landlock, of which the server hears afterwards. */
static void start_less_shut_in(IsolationMode mode) {
        if (!has_cells_and_landlock())
                skip_because("this machine has no cells, or no Landlock");
        isolate(landlock);
        driver.plan.mode = mode;
        start();
        drive_until(state_of(PROOF_OF_SESSIONS) == SLOT_STARTING);
        template_of()->layers |= landlock;
}

static int try_to_make(const char *id) {
        SessionOptions options = options_of(id);
        Session *session;

        return session_create(driver.pool, &options, &session);
}

/* Homes on disk, besides the trash. */
static unsigned count_homes(void) {
        char path[512];
        struct dirent *entry;
        unsigned n = 0;
        DIR *directory;

        (void) snprintf(path, sizeof(path), "%s/sessions", session_state.path);
        directory = opendir(path);
        assert_non_null(directory);
        while ((entry = readdir(directory)))
                n += entry->d_name[0] != '.' && strcmp(entry->d_name, "trash") != 0;
        (void) closedir(directory);
        return n;
}

static void test_sessions_are_proven(void **state) {
        const ProbeCount *counts;
        TemplateState seen;

        start_with_spares();
        seen = state_of_template();
        counts = seen.probes;
        assert_true(seen.serves_sessions);
        assert_null(seen.sessions_broken);
        for (unsigned i = 0; i < _PROOFS; i++)
                assert_int_equal(counts[i].tried, counts[i].stopped);
        assert_true(counts[PROOF_OF_SESSIONS].tried > counts[PROOF_OF_RUNS].tried);
        assert_int_equal(counts[PROOF_OF_COPIES].tried > counts[PROOF_OF_SESSIONS].tried,
                         seen.copies_sessions);
        if (getenv("HATCHERY_ISOLATION") && has_cells_and_landlock())
                assert_true(seen.copies_sessions);
        say_in(make_session("a"), "print(1)", "1\n");
}

static void test_canaries_leave_nothing(void **state) {
        const Template *template;

        start_with_spares();
        template = template_of();
        for (unsigned i = 0; i < _PROOFS; i++)
                drive_until(trial_is_vacant(&template->canary.trials[i]));
        assert_int_equal(template->canaries.n_states[SLOT_EMPTY], _PROOFS);
        assert_null(template->canary.other);
        assert_null(template->canary.fork);
        /* That of the spare. */
        assert_int_equal(count_homes(), driver.template.session_spares);
        assert_int_equal(driver.pool->sessions.n_copies_unnamed, 0);
        assert_int_equal(counters().sessions, 0);
        assert_int_equal(counters().sessions_made, 0);
}

static void test_no_session_before_the_proof(void **state) {
        Watched watched = {0};
        Session *session;

        start();
        session = make_session("early");
        submit_in(session, &watched, "print(6 * 7)");
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; watched.done == 0;) {
                assert_true(info_of(session).state == SESSION_STARTING ||
                            template_of()->canary.sessions_proven > 0);
                turn(until_ns);
        }
        assert_status(&watched, RUN_OK);
}

static void test_without_sessions_none_are_tried(void **state) {
        driver.config.sessions_max = 0;
        driver.template.session_spares = 0;
        start_and_fill();
        assert_int_equal(state_of_template().probes[PROOF_OF_SESSIONS].tried, 0);
        assert_false(state_of_template().serves_sessions);
        assert_null(template_of()->canary.trials[PROOF_OF_SESSIONS].slot);
        assert_int_equal(driver.pool->n_slots, 2);
}

static void test_strict_serves_nothing_that_sessions_break(void **state) {
        TemplateState seen;

        start_less_shut_in(ISOLATION_STRICT);
        drive_until(state_of_template().broken);
        seen = state_of_template();
        assert_false(seen.ready);
        assert_false(pool_is_ready(driver.pool));
        assert_string_equal(seen.broken, probe_text(PROBE_READ_SOURCE));
        assert_string_equal(seen.broken_subject, "a copy of a session");
        assert_non_null(strstr(seen.failure, "landlock"));

        /* The next one is as it should be. */
        template_of()->layers &= ~landlock;
        drive_until(state_of_template().ready);
        assert_null(state_of_template().broken);
        assert_true(state_of_template().serves_sessions);
        say_in(make_session("a"), "print(1)", "1\n");
}

/* Runs are served before all is known of sessions, so one may be under way. */
static void test_a_generation_may_be_refused_amid_a_run(void **state) {
        Watched watched = {0};

        start_with_spares();
        submit(&watched, "import time\ntime.sleep(1000)");
        drive_until(template_of()->runs.n_states[SLOT_BUSY] == 1);
        generation_refuse(template_of(), template_of()->zygote_generation, "this test says so");
        finish(&watched);
        assert_status(&watched, RUN_LOST);
        drive_until(has_spares());
        check_it_works();
}

static void test_where_less_is_asked_for_runs_are_served(void **state) {
        TemplateState seen;

        driver.template.session_spares = 3;
        start_less_shut_in(ISOLATION_BEST_EFFORT);
        drive_until(state_of_template().ready);
        seen = state_of_template();
        assert_null(seen.broken);
        assert_false(seen.serves_sessions);
        assert_string_equal(seen.sessions_broken,
                            "a copy of a session was able to read a file of the session that it is "
                            "a copy of");
        check_it_works();
        assert_int_equal(try_to_make("a"), SESSION_E_UNPROVEN);

        /* Until another generation is as it should be; the spares of this one are never trusted. */
        drive_until(state_of_template().session_spares == driver.template.session_spares);
        template_of()->layers &= ~landlock;
        pool_reload(driver.pool);
        drive_until(state_of_template().serves_sessions);
        assert_true(!session_spare(template_of()) ||
                    session_spare(template_of())->generation == template_of()->zygote_generation);
        assert_null(state_of_template().sessions_broken);
        say_in(make_session("a"), "print(1)", "1\n");
}

/* In either mode: sessions that are served go on to be. */
static void test_no_generation_takes_over_that_serves_less(void **state) {
        if (!has_cells_and_landlock())
                skip_because("this machine has no cells, or no Landlock");
        isolate(landlock);
        start_with_spares();
        pool_reload(driver.pool);
        drive_until(state_of(PROOF_OF_SESSIONS) == SLOT_STARTING);
        template_of()->layers |= landlock;
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; !state_of_template().failure;) {
                assert_true(state_of_template().ready);
                assert_true(state_of_template().serves_sessions);
                turn(until_ns);
        }
        template_of()->layers &= ~landlock;
        assert_int_equal(template_of()->zygote_generation, 1);
        assert_non_null(strstr(state_of_template().failure, "a copy of a session"));
        say_in(make_session("a"), "print(1)", "1\n");
        drive_until(template_of()->zygote_generation > 1);
        assert_null(state_of_template().failure);
        say_in(make_session("b"), "print(2)", "2\n");
}

/* That a canary is killed says nothing; nor does one whose copy is. */
static void test_canaries_that_are_killed(void **state) {
        start();
        drive_until(state_of(PROOF_OF_SESSIONS) == SLOT_HELD ||
                    state_of(PROOF_OF_SESSIONS) == SLOT_FORKING ||
                    state_of(PROOF_OF_SESSIONS) == SLOT_PROBING);
        worker_kill(&template_of()->canary.trials[PROOF_OF_SESSIONS].slot->worker);
        drive_until(has_spares());
        assert_null(state_of_template().failure);
        assert_true(state_of_template().serves_sessions);
        say_in(make_session("a"), "print(1)", "1\n");
}

/* That a later generation's copies are kept apart says nothing of this one's. */
static void test_what_could_not_be_copied_is_not_copied_later(void **state) {
        Session *early, *late;
        Told told = {0};

        if (!has_cells_and_landlock())
                skip_because("this machine has no cells, or no Landlock");
        start();
        drive_until(state_of(PROOF_OF_SESSIONS) == SLOT_STARTING);
        /* As after three copies in vain. */
        template_of()->canary.trials[PROOF_OF_COPIES].state = TRIAL_IMPOSSIBLE;
        drive_until(state_of_template().serves_sessions);
        assert_false(state_of_template().copies_sessions);
        early = make_session("early");
        say_in(early, "x = 1", "");
        assert_int_equal(ask_for_copy(early, "a", &told), SESSION_E_UNFORKABLE);
        pool_reload(driver.pool);
        drive_until(template_of()->zygote_generation == 2);
        drive_until(state_of_template().copies_sessions);
        assert_int_equal(ask_for_copy(early, "a", &told), SESSION_E_UNFORKABLE);
        drive_until(!session_spare(template_of()) || session_spare(template_of())->generation == 2);
        late = make_session("late");
        say_in(late, "x = 2", "");
        say_in(copy_of(late, "b"), "print(x)", "2\n");
        say_in(early, "print(x)", "1\n");
}

static void test_the_pool_may_end_while_canaries_try(void **state) {
        start();
        drive_until(state_of(PROOF_OF_SESSIONS) != SLOT_EMPTY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                session_test(test_sessions_are_proven),
                session_test(test_canaries_leave_nothing),
                session_test(test_no_session_before_the_proof),
                session_test(test_without_sessions_none_are_tried),
                session_test(test_strict_serves_nothing_that_sessions_break),
                session_test(test_a_generation_may_be_refused_amid_a_run),
                session_test(test_where_less_is_asked_for_runs_are_served),
                session_test(test_no_generation_takes_over_that_serves_less),
                session_test(test_canaries_that_are_killed),
                session_test(test_what_could_not_be_copied_is_not_copied_later),
                session_test(test_the_pool_may_end_while_canaries_try),
        };

        return driver_run_tests("canaries of sessions", tests);
}
