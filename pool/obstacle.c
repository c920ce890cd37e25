/* obstacle: workers that cannot be made. The next one is asked for later each time; and when it is
 * always a step of being shut in that fails, that is what the template is said to be held up by. */

#include <stdlib.h>
#include <string.h>

#include "pool/internal.h"

/* After a worker that could not be prepared; doubled with each further one. */
#define FAILED_WORKER_WAIT_NS     (5 * NS_PER_MS)
#define FAILED_WORKER_WAIT_MAX_NS (1 * NS_PER_S)

/* In a row, over more than a second: by then what was short for a moment has come back. */
#define FAILED_WORKERS_MAX 8

void slot_has_failed(const Slot *slot) {
        Template *template = slot->template;
        uint64_t now_ns = clock_now_ns(), wait_ns = FAILED_WORKER_WAIT_NS;

        template->pool->counters.workers_failed++;
        /* Those that serve need not wait for it. */
        if (canary_is_ahead(slot))
                return;
        /* It was asked for together with the one before, and says nothing more. */
        if (now_ns < template->spawn_retry_ns)
                return;
        for (unsigned i = 0; i < template->worker_failures && wait_ns < FAILED_WORKER_WAIT_MAX_NS;
             i++)
                wait_ns *= 2;
        if (template->worker_failures < 64)
                template->worker_failures++;
        if (wait_ns > FAILED_WORKER_WAIT_MAX_NS)
                wait_ns = FAILED_WORKER_WAIT_MAX_NS;
        template->spawn_retry_ns = now_ns + wait_ns;
}

void spares_worker_is_ready(Template *template) {
        template->worker_failures = 0;
        obstacle_forget(template);
}

void obstacle_note(Template *template, Slice step, bool is_final) {
        free(template->obstacle);
        template->obstacle = strndup((const char *) step.data, step.size);
        template->obstacle_is_final = is_final;
}

void slot_note_obstacle(const Slot *slot, Slice step) {
        if (!canary_is_ahead(slot))
                obstacle_note(slot->template, step, false);
}

void obstacle_forget(Template *template) {
        free(template->obstacle);
        template->obstacle = NULL;
        template->obstacle_is_final = false;
}

const char *obstacle_of(const Template *template) {
        bool is_final =
                template->obstacle_is_final || template->worker_failures >= FAILED_WORKERS_MAX;

        return is_final ? template->obstacle : NULL;
}
