/* Every combination of facts that verdict_decide() can be given, against what must always hold. */

#include "pool/verdict.h"

#include <signal.h>
#include <sys/wait.h>

#include "helpers.h"
#include "wire/run.h"

#define CPU_LIMIT_NS 1000

/* Statuses as wait4() gives them: every exit code, every signal, with and without a core file, and
 * some that no ended process has. */
static const uint32_t outcomes[] = {
        0, OUTCOME_COMPLETED, OUTCOME_RAISED, OUTCOME_EXITED, _OUTCOME_MAX, 99, UINT32_MAX};
static const uint64_t cpus_ns[] = {0, CPU_LIMIT_NS - 1, CPU_LIMIT_NS, CPU_LIMIT_NS + 1, UINT64_MAX};

static unsigned long n_checked;

static bool is_known_outcome(uint32_t outcome) {
        return outcome == OUTCOME_COMPLETED || outcome == OUTCOME_RAISED ||
               outcome == OUTCOME_EXITED;
}

/* Returns what is wrong with the verdict, or NULL. Plain comparisons: this is called millions of
 * times. */
static const char *complaint(const VerdictFacts *facts, const Verdict *verdict) {
        bool by_signal = !facts->ended && facts->exited && WIFSIGNALED(facts->wait_status);
        bool by_exit = !facts->ended && facts->exited && WIFEXITED(facts->wait_status);
        bool over_cpu = facts->cpu_ns > facts->cpu_limit_ns;

        if ((unsigned) verdict->status >= _RUN_STATUSES)
                return "no status";
        if (verdict->status == RUN_OK &&
            (facts->cause != CAUSE_NONE || !facts->ended || facts->outcome != OUTCOME_COMPLETED ||
             over_cpu || verdict->exit_code != 0 || !verdict->has_exit_code))
                return "ok without a completed program and nothing else";
        if (facts->out_of_memory && facts->cause == CAUSE_NONE)
                return verdict->status == RUN_MEMORY_LIMIT ? NULL
                                                           : "out of memory, and it is not said";
        if (verdict->status == RUN_MEMORY_LIMIT && facts->cause != CAUSE_MEMORY)
                return "memory_limit, and nobody was out of it";
        if (facts->cause == CAUSE_WALL && verdict->status != RUN_TIMEOUT)
                return "the timer fired, and it is no timeout";
        if (facts->cause != CAUSE_WALL && verdict->status == RUN_TIMEOUT)
                return "a timeout without a timer";
        if (facts->cause == CAUSE_CANCELLED && verdict->status != RUN_CANCELLED)
                return "cancelled, and something else is said";
        if (verdict->status == RUN_LOST &&
            !(facts->cause == CAUSE_INTERNAL ||
              (facts->cause == CAUSE_NONE && !facts->ended && !by_signal && !by_exit)))
                return "lost, though something is known";
        if (facts->cause == CAUSE_INTERNAL && verdict->status != RUN_LOST)
                return "our own failure is hidden";
        if (facts->cause == CAUSE_NONE && by_signal && verdict->status != RUN_CRASHED &&
            verdict->status != RUN_VIOLATION && verdict->status != RUN_CPU_LIMIT)
                return "a signal that is no crash";
        if (facts->cause == CAUSE_NONE && by_signal &&
            verdict->signal != WTERMSIG(facts->wait_status))
                return "another signal than it was";
        if (facts->cause == CAUSE_NONE && by_exit &&
            (verdict->status != RUN_EXIT || verdict->exit_code != WEXITSTATUS(facts->wait_status)))
                return "an exit without a final frame that is no exit";
        if (verdict->status == RUN_CPU_LIMIT && facts->cause != CAUSE_CPU &&
            facts->cpu_ns < facts->cpu_limit_ns)
                return "cpu_limit, and the clock does not say so";
        if (facts->cause == CAUSE_NONE && facts->ended && over_cpu &&
            verdict->status != RUN_CPU_LIMIT)
                return "the clock says cpu_limit, and the worker's word was taken";
        if (facts->cause == CAUSE_NONE && facts->ended && !over_cpu &&
            !is_known_outcome(facts->outcome) && verdict->status != RUN_CRASHED)
                return "an unknown outcome that is no crash";
        if (verdict->has_exit_code && (verdict->exit_code < 0 || verdict->exit_code > 255))
                return "an exit code that no process has";
        if (verdict->signal != 0 && verdict->has_exit_code)
                return "both an exit code and a signal";
        return NULL;
}

static void check(const VerdictFacts *facts) {
        Verdict verdict = verdict_decide(facts);
        const char *wrong = complaint(facts, &verdict);

        n_checked++;
        if (wrong)
                fail_msg("%s: cause %d ended %d outcome %u exited %d wait status %#x cpu %ju -> %s",
                         wrong, facts->cause, facts->ended, facts->outcome, facts->exited,
                         (unsigned) facts->wait_status, (uintmax_t) facts->cpu_ns,
                         run_status_name(verdict.status));
}

static void check_wait_statuses(VerdictFacts facts) {
        facts.exited = false;
        check(&facts);
        facts.exited = true;
        for (int status = 0; status <= 0xffff; status++) {
                facts.wait_status = status;
                check(&facts);
        }
}

static void test_every_combination(void **state) {
        for (int cause = 0; cause < _CAUSES; cause++) {
                for (size_t i = 0; i < N_ELEMENTS(cpus_ns); i++) {
                        VerdictFacts facts = {
                                .cause = (VerdictCause) cause,
                                .cpu_ns = cpus_ns[i],
                                .cpu_limit_ns = CPU_LIMIT_NS,
                        };

                        check_wait_statuses(facts);
                        facts.ended = true;
                        for (size_t j = 0; j < N_ELEMENTS(outcomes); j++) {
                                facts.outcome = outcomes[j];
                                facts.exit_code = -1;
                                check_wait_statuses(facts);
                        }
                        facts.out_of_memory = true;
                        check_wait_statuses(facts);
                }
        }
        assert_true(n_checked > 1000000);
}

static VerdictFacts killed_by(int signal, uint64_t cpu_ns) {
        return (VerdictFacts){.exited = true,
                              .wait_status = signal,
                              .cpu_ns = cpu_ns,
                              .cpu_limit_ns = CPU_LIMIT_NS};
}

static RunStatus status_of(VerdictFacts facts) {
        return verdict_decide(&facts).status;
}

static void test_signals(void **state) {
        assert_int_equal(status_of(killed_by(SIGSEGV, 0)), RUN_CRASHED);
        assert_int_equal(status_of(killed_by(SIGSYS, 0)), RUN_VIOLATION);
        assert_int_equal(status_of(killed_by(SIGSYS, UINT64_MAX)), RUN_VIOLATION);
        assert_int_equal(status_of(killed_by(SIGXCPU, CPU_LIMIT_NS)), RUN_CPU_LIMIT);
        assert_int_equal(status_of(killed_by(SIGKILL, CPU_LIMIT_NS)), RUN_CPU_LIMIT);
        /* Anybody can send himself these. */
        assert_int_equal(status_of(killed_by(SIGXCPU, CPU_LIMIT_NS - 1)), RUN_CRASHED);
        assert_int_equal(status_of(killed_by(SIGKILL, 0)), RUN_CRASHED);
}

static void test_leaving_early_is_never_ok(void **state) {
        VerdictFacts facts = {.exited = true, .wait_status = 0, .cpu_limit_ns = CPU_LIMIT_NS};
        Verdict verdict = verdict_decide(&facts); /* os._exit(0) */

        assert_int_equal(verdict.status, RUN_EXIT);
        assert_true(verdict.has_exit_code);
        assert_int_equal(verdict.exit_code, 0);
}

static void test_each_cause_has_its_status(void **state) {
        static const RunStatus wanted[_CAUSES] = {
                [CAUSE_WALL] = RUN_TIMEOUT,        [CAUSE_CPU] = RUN_CPU_LIMIT,
                [CAUSE_MEMORY] = RUN_MEMORY_LIMIT, [CAUSE_OUTPUT] = RUN_OUTPUT_LIMIT,
                [CAUSE_DISK] = RUN_OUTPUT_LIMIT,   [CAUSE_RESERVE] = RUN_OUTPUT_LIMIT,
                [CAUSE_CANCELLED] = RUN_CANCELLED, [CAUSE_PROTOCOL] = RUN_CRASHED,
                [CAUSE_INTERNAL] = RUN_LOST,
        };

        for (int cause = CAUSE_NONE + 1; cause < _CAUSES; cause++)
                assert_int_equal(status_of((VerdictFacts){.cause = (VerdictCause) cause,
                                                          .ended = true,
                                                          .outcome = OUTCOME_COMPLETED,
                                                          .cpu_limit_ns = 1}),
                                 wanted[cause]);
}

static void test_what_was_too_much(void **state) {
        static const RunExcess wanted[_CAUSES] = {
                [CAUSE_OUTPUT] = RUN_EXCESS_OUTPUT,
                [CAUSE_DISK] = RUN_EXCESS_FILES,
                [CAUSE_RESERVE] = RUN_EXCESS_DISK,
        };

        for (int cause = CAUSE_NONE + 1; cause < _CAUSES; cause++) {
                VerdictFacts facts = {.cause = (VerdictCause) cause};

                assert_int_equal(verdict_decide(&facts).excess, wanted[cause]);
        }
}

static void test_outcomes(void **state) {
        VerdictFacts facts = {.ended = true, .cpu_limit_ns = CPU_LIMIT_NS};
        Verdict verdict;

        facts.outcome = OUTCOME_COMPLETED;
        facts.exit_code = 42; /* nothing that it says beside makes it another code */
        verdict = verdict_decide(&facts);
        assert_int_equal(verdict.status, RUN_OK);
        assert_int_equal(verdict.exit_code, 0);

        facts.outcome = OUTCOME_RAISED;
        verdict = verdict_decide(&facts);
        assert_int_equal(verdict.status, RUN_ERROR);
        assert_int_equal(verdict.exit_code, 1);

        facts.outcome = OUTCOME_EXITED;
        facts.exit_code = -1;
        verdict = verdict_decide(&facts);
        assert_int_equal(verdict.status, RUN_EXIT);
        assert_int_equal(verdict.exit_code, 255);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_combination),
                cmocka_unit_test(test_signals),
                cmocka_unit_test(test_leaving_early_is_never_ok),
                cmocka_unit_test(test_each_cause_has_its_status),
                cmocka_unit_test(test_what_was_too_much),
                cmocka_unit_test(test_outcomes),
        };

        return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
