#include <errno.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "pool/internal.h"
#include "pool/request.h"
#include "wire/run.h"

/* A run that names a preloaded module will dirty its pages: it is worth a spare whose pages are
 * touched. A wrong guess costs time, never correctness. */
static bool is_heavy(const TemplateConfig *config, const RunRequest *request) {
        if (request->flags & REQUEST_BIND_ANALYSIS)
                return true;
        for (size_t i = 0; i < config->n_imports; i++) {
                const char *name = config->imports[i];

                if (memmem(request->code.data, request->code.size, name, strlen(name)))
                        return true;
        }
        return false;
}

static int keep_patterns(Run *run, const RunRequest *request) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < request->n_collect; i++) {
                size_t size = request->collect[i].size;

                r = buffer_append(&run->collect, &size, sizeof(size));
                if (r == 0)
                        r = buffer_append(&run->collect, request->collect[i].data, size);
        }
        return r;
}

int run_new(Pool *pool, const RunRequest *request, Run **ret_run) {
        Template *template = &pool->templates[request->template];
        Run *run;
        int r;

        run = calloc(1, sizeof(*run));
        if (!run)
                return raise_error(-ENOMEM, "allocate a run");
        *run = (Run){
                .pool = pool,
                .template = template,
                .message = BUFFER_INIT(REQUEST_MESSAGE_MAX),
                .limits = request->limits,
                .output_overrun_kills = request->output_overrun_kills,
                .has_displays = request->flags & REQUEST_WANT_DISPLAYS,
                .heavy = request->code.size > 0 && is_heavy(template->config, request),
                .submitted_ns = clock_now_ns(),
        };
        r = request_encode(request, pool->config.value_bytes_max, &run->message);
        if (r == 0)
                r = keep_patterns(run, request);
        if (r < 0) {
                run_free(run);
                return r == -EMSGSIZE ? POOL_E_TOO_LARGE : raise_error(r, "encode a run's request");
        }
        *ret_run = run;
        return 0;
}

Run *run_free(Run *run) {
        if (!run)
                return NULL;
        buffer_done(&run->message);
        buffer_done(&run->collect);
        free(run);
        return NULL;
}

/* The queue's first run has the earliest deadline: all wait equally long. */
static void set_queue_timer(Template *template) {
        Pool *pool = template->pool;

        if (template->queue_first)
                timer_set(&pool->timers, &template->queue_timer,
                          template->queue_first->submitted_ns +
                                  pool->config.queue_wait_ms * NS_PER_MS);
        else
                timer_clear(&pool->timers, &template->queue_timer);
}

static void count(Template *template, int change) {
        template->n_queued = (unsigned) ((int) template->n_queued + change);
        template->pool->n_queued = (unsigned) ((int) template->pool->n_queued + change);
}

void queue_push(Run *run) {
        Template *template = run->template;

        run->next = NULL;
        run->previous = template->queue_last;
        if (template->queue_last)
                template->queue_last->next = run;
        else
                template->queue_first = run;
        template->queue_last = run;
        count(template, +1);
        if (template->queue_first == run)
                set_queue_timer(template);
}

void queue_push_front(Run *run) {
        Template *template = run->template;

        run->previous = NULL;
        run->next = template->queue_first;
        if (template->queue_first)
                template->queue_first->previous = run;
        else
                template->queue_last = run;
        template->queue_first = run;
        count(template, +1);
        set_queue_timer(template);
}

void queue_remove(Run *run) {
        Template *template = run->template;
        bool was_first = template->queue_first == run;

        if (run->previous)
                run->previous->next = run->next;
        else
                template->queue_first = run->next;
        if (run->next)
                run->next->previous = run->previous;
        else
                template->queue_last = run->previous;
        run->previous = run->next = NULL;
        count(template, -1);
        if (was_first)
                set_queue_timer(template);
}

Run *queue_pop(Template *template) {
        Run *run = template->queue_first;

        if (run)
                queue_remove(run);
        return run;
}

void queue_expire(Template *template, uint64_t now_ns) {
        Pool *pool = template->pool;
        uint64_t wait_ns = pool->config.queue_wait_ms * NS_PER_MS;

        while (template->queue_first && template->queue_first->submitted_ns + wait_ns <= now_ns) {
                Run *run = queue_pop(template);
                RunResult result = {
                        .refused = true,
                        .status = RUN_LOST,
                        .limits = run->limits,
                        .usage.queue_ns = now_ns - run->submitted_ns,
                };

                pool->counters.refused++;
                run->callbacks.done(run->data, &result);
                run_free(run);
        }
        set_queue_timer(template);
}
