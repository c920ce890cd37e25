#include "pool/verdict.h"

#include <assert.h>
#include <signal.h>
#include <sys/wait.h>

#include "wire/run.h"

static Verdict of_cause(VerdictCause cause) {
        static const RunStatus statuses[_CAUSES] = {
                [CAUSE_WALL] = RUN_TIMEOUT,        [CAUSE_CPU] = RUN_CPU_LIMIT,
                [CAUSE_MEMORY] = RUN_MEMORY_LIMIT, [CAUSE_OUTPUT] = RUN_OUTPUT_LIMIT,
                [CAUSE_DISK] = RUN_OUTPUT_LIMIT,   [CAUSE_RESERVE] = RUN_OUTPUT_LIMIT,
                [CAUSE_CANCELLED] = RUN_CANCELLED, [CAUSE_PROTOCOL] = RUN_CRASHED,
                [CAUSE_INTERNAL] = RUN_LOST,
        };

        static const RunExcess excesses[_CAUSES] = {
                [CAUSE_OUTPUT] = RUN_EXCESS_OUTPUT,
                [CAUSE_DISK] = RUN_EXCESS_FILES,
                [CAUSE_RESERVE] = RUN_EXCESS_DISK,
        };

        assert(cause > CAUSE_NONE && cause < _CAUSES);
        return (Verdict){.status = statuses[cause], .excess = excesses[cause]};
}

static Verdict of_signal(const VerdictFacts *facts, int signal) {
        Verdict verdict = {.status = RUN_CRASHED, .signal = signal};

        if (signal == SIGSYS)
                verdict.status = RUN_VIOLATION;
        /* RLIMIT_CPU sends SIGXCPU at its soft and SIGKILL at its hard limit; anybody can send
         * himself either, but not make the clock say so. */
        else if ((signal == SIGXCPU || signal == SIGKILL) && facts->cpu_ns >= facts->cpu_limit_ns)
                verdict.status = RUN_CPU_LIMIT;
        return verdict;
}

static Verdict of_frame(const VerdictFacts *facts) {
        switch ((RunOutcome) facts->outcome) {
        case OUTCOME_COMPLETED:
                return (Verdict){.status = RUN_OK, .has_exit_code = true, .exit_code = 0};
        case OUTCOME_RAISED:
                return (Verdict){.status = RUN_ERROR, .has_exit_code = true, .exit_code = 1};
        case OUTCOME_EXITED:
                return (Verdict){.status = RUN_EXIT,
                                 .has_exit_code = true,
                                 .exit_code = facts->exit_code & 0xff};
        case _OUTCOME_MAX:
                break;
        }
        return of_cause(CAUSE_PROTOCOL);
}

Verdict verdict_decide(const VerdictFacts *facts) {
        if (facts->cause != CAUSE_NONE)
                return of_cause(facts->cause);
        /* Whatever its program made of the loss of a process: it did not have what it needed. */
        if (facts->out_of_memory)
                return of_cause(CAUSE_MEMORY);
        if (facts->ended)
                return facts->cpu_ns > facts->cpu_limit_ns ? of_cause(CAUSE_CPU) : of_frame(facts);
        if (!facts->exited)
                return of_cause(CAUSE_INTERNAL);
        if (WIFSIGNALED(facts->wait_status))
                return of_signal(facts, WTERMSIG(facts->wait_status));
        if (WIFEXITED(facts->wait_status))
                return (Verdict){.status = RUN_EXIT,
                                 .has_exit_code = true,
                                 .exit_code = WEXITSTATUS(facts->wait_status)};
        return of_cause(CAUSE_INTERNAL);
}
