#include <sys/wait.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "pool/collect.h"
#include "pool/internal.h"

#define PATTERNS_MAX 64

/* Unpacks the patterns that queue.c has kept. */
static size_t patterns_of(const Run *run, Slice patterns[PATTERNS_MAX]) {
        size_t n = 0;

        for (size_t at = 0; at < run->collect.size && n < PATTERNS_MAX; n++) {
                size_t size;

                memcpy(&size, run->collect.data + at, sizeof(size));
                patterns[n] = slice_of(run->collect.data + at + sizeof(size), size);
                at += sizeof(size) + size;
        }
        return n;
}

static void collect(Slot *slot, const Run *run, Collection *collection) {
        const PoolConfig *config = &slot->template->pool->config;
        Slice patterns[PATTERNS_MAX];
        size_t n = patterns_of(run, patterns);
        _autoclose_ int cell_fd = -1;
        int work_fd = slot->folders.work_fd;

        if (n == 0)
                return;
        if (slot->place)
                work_fd = slot->place->member.work_fd;
        else if (slot->template->has_cell_folders)
                work_fd = cell_fd = cell_open_folder(&slot->cell, "work");
        if (work_fd < 0 || collect_files(work_fd, patterns, n, config->collect_files_max,
                                         config->collect_bytes_max, collection) < 0)
                collection->truncated = true;
}

static VerdictFacts facts_of(const Slot *slot, const Run *run) {
        return (VerdictFacts){
                .cause = slot->cause,
                .out_of_memory = slot->out_of_memory,
                .ended = slot->result.ended,
                .outcome = slot->result.end.outcome,
                .exit_code = slot->result.end.exit_code,
                .exited = slot->exited,
                .wait_status = slot->wait_status,
                .cpu_ns = slot->usage.cpu_ns,
                .cpu_limit_ns = run->limits.of[LIMIT_CPU_MS] * NS_PER_MS,
        };
}

static void count_run(Pool *pool, RunStatus status, uint64_t wall_ns) {
        pool->counters.runs[status]++;
        pool->run_ns = pool->run_ns - pool->run_ns / 8 + wall_ns / 8;
        if (status == RUN_LOST)
                log_error("a run was lost, by our own fault lost=%ju",
                          (uintmax_t) pool->counters.runs[RUN_LOST]);
}

void slot_answer(Slot *slot) {
        Pool *pool = slot->template->pool;
        Run *run = slot->run;
        VerdictFacts facts = facts_of(slot, run);
        Verdict verdict = verdict_decide(&facts);
        Collection collection = {0};
        RunResult result = {
                .status = verdict.status,
                .excess = verdict.excess,
                .has_exit_code = verdict.has_exit_code,
                .exit_code = verdict.exit_code,
                .signal = verdict.signal,
                .usage = slot->usage,
                .limits = run->limits,
        };

        /* From here on the slot has no run: the callback may submit another. */
        slot->run = NULL;
        for (int i = 0; i < _RUN_STREAMS; i++)
                result.output[i] = output_finish(&slot->output[i]);
        /* A broken channel's documents are not to be believed to be the harness's. */
        if (facts.cause != CAUSE_PROTOCOL)
                result_fill(&slot->result, &result);
        collect(slot, run, &collection);
        result.files = collection.files;
        result.n_files = collection.n_files;
        result.files_truncated = collection.truncated;

        session_on_answer(slot, run, facts.cause, &verdict, &result.session);
        /* Its caller has gone, and it was counted then. */
        if (!run->is_abandoned) {
                count_run(pool, verdict.status, slot->usage.wall_ns);
                run->callbacks.done(run->data, &result);
        }

        collection_done(&collection);
        for (int i = 0; i < _RUN_STREAMS; i++)
                output_done(&slot->output[i]);
        result_reader_restart(&slot->result);
        run_free(run);
}
