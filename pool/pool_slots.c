/* pool_slots: the table of slots. Those for runs without a session belong to a template, and come
 * first; those of sessions get their template when they are taken; canaries have theirs, last. */

#include <assert.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/error.h"
#include "pool/internal.h"

void timer_init(Timer *timer, TimerOwner owner, unsigned index) {
        *timer = (Timer){.position = TIMER_OFF, .what = timer_what(owner, index)};
}

unsigned run_slots(const PoolConfig *config) {
        unsigned n = 0;

        for (size_t i = 0; i < config->n_templates; i++)
                n += config->templates[i].workers;
        return n;
}

unsigned all_slots(const PoolConfig *config) {
        unsigned sessions = session_slots(config), n_canaries = sessions > 0 ? _PROOFS : 1;

        return run_slots(config) + sessions + (unsigned) config->n_templates * n_canaries;
}

unsigned session_slots(const PoolConfig *config) {
        unsigned n = config->sessions_max;

        if (n == 0 || !config->state_directory)
                return 0;
        for (size_t i = 0; i < config->n_templates; i++)
                n += config->templates[i].session_spares;
        return n;
}

static void init_slot(Pool *pool, Template *template, unsigned number) {
        Slot *slot = &pool->slots[number];

        *slot = (Slot){
                .number = number,
                .template = template,
                .worker = WORKER_NONE,
                .folders = SLOT_FOLDERS_NONE,
                .cell = CELL_NONE,
                .cgroup = SLOT_CGROUP_NONE,
                .listener = FORK_LISTENER_NONE,
                .spawn_reported = true,
        };
        timer_init(&slot->timer, TIMER_SLOT, number);
        timer_init(&slot->cell.timer, TIMER_CELL, number);
        result_reader_init(&slot->result, pool->config.value_bytes_max);
}

static void count_empty(Slot *slot) {
        slot_list_push(&slot_set(slot)->empty, slot);
        slot_set(slot)->n_states[SLOT_EMPTY]++;
}

static int init_run_slot(Slot *slot, uid_t uid) {
        const Template *template = slot->template;
        Pool *pool = template->pool;
        unsigned number = slot->number;
        int r;

        if (template->layers & layer_bit(LAYER_UID))
                slot->uid = uid;
        slot->result.worker_stays = template->config->recycle == RECYCLE_RESET;
        count_empty(slot);
        r = slot_make_cgroup(slot);
        if (r < 0 || template->has_cell_folders)
                return r;
        return workspace_make_slot(&pool->workspace, number, slot->uid, &slot->folders);
}

static void init_session_slot(Pool *pool, unsigned number) {
        Slot *slot = &pool->slots[number];

        init_slot(pool, &pool->templates[0], number);
        slot->of_sessions = true;
        slot->is_free = true;
        slot_list_push(&pool->free_slots, slot);
}

/* Behind those of sessions, and their uids behind those of all others. */
static int init_canary_slots(Pool *pool, Template *template, unsigned *number) {
        unsigned n = session_slots(&pool->config) > 0 ? _PROOFS : 1;
        uid_t uid = pool->config.worker_uid_base + CANARY_UIDS + template->index;

        for (unsigned i = 0; i < _PROOFS; i++) {
                Trial *trial = &template->canary.trials[i];

                *trial = (Trial){.subject = (ProofSubject) i, .state = TRIAL_IMPOSSIBLE};
                if (i >= n)
                        continue;
                trial->slot = &pool->slots[*number];
                init_slot(pool, template, (*number)++);
                trial->slot->trial = trial;
                trial->slot->of_sessions = i != PROOF_OF_RUNS;
                if (i != PROOF_OF_RUNS) {
                        count_empty(trial->slot);
                } else {
                        int r = init_run_slot(trial->slot, uid);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static void init_template(Pool *pool, Template *template, unsigned index) {
        const TemplateConfig *config = &pool->config.templates[index];
        LayerMask layers = template_layers(pool, config);

        *template = (Template){
                .pool = pool,
                .index = index,
                .config = config,
                .layers = layers,
                .has_cells = isolation_has_cells(layers),
                .has_cell_folders = layers & layer_bit(LAYER_MOUNT_NAMESPACE),
        };
        template->ends_cells = template->has_cells &&
                               (config->subprocesses || !(layers & layer_bit(LAYER_SECCOMP)));
        timer_init(&template->queue_timer, TIMER_QUEUE, index);
        timer_init(&template->zygote_timer, TIMER_ZYGOTE, index);
        timer_init(&template->spawn_timer, TIMER_SPAWN, index);
}

int slots_new(Pool *pool) {
        unsigned number = 0;
        int r;

        for (size_t i = 0; i < pool->config.n_templates; i++) {
                Template *template = &pool->templates[i];

                init_template(pool, template, (unsigned) i);
                for (unsigned j = 0; j < template->config->workers; j++) {
                        init_slot(pool, template, number);
                        r = init_run_slot(&pool->slots[number],
                                          pool->config.worker_uid_base + number);
                        if (r < 0)
                                return r;
                        number++;
                }
        }
        for (unsigned i = session_slots(&pool->config); i > 0; i--)
                init_session_slot(pool, number++);
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                r = init_canary_slots(pool, &pool->templates[i], &number);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void free_slot(Slot *slot) {
        slot_free_cell(slot);
        if (slot->worker.pid > 0) {
                worker_kill(&slot->worker);
                (void) waitpid(slot->worker.pid, NULL, 0);
        }
        slot->run = run_free(slot->run);
        for (int i = 0; i < _RUN_STREAMS; i++)
                output_done(&slot->output[i]);
        result_reader_done(&slot->result);
        worker_close(&slot->worker);
        fork_listener_close(&slot->listener);
        slot_folders_close(&slot->folders);
        if (slot->is_spare)
                place_doom(slot->place);
        slot->place = place_leave(slot->place);
}

void slots_free(Pool *pool) {
        for (unsigned i = 0; pool->slots && i < pool->n_slots; i++) {
                if (pool->slots[i].template)
                        free_slot(&pool->slots[i]);
        }
}

Slot *template_next_slot(const Template *template, unsigned *position) {
        Pool *pool = template->pool;

        while (*position < pool->n_slots) {
                Slot *slot = &pool->slots[(*position)++];

                if (slot->template == template && !slot->is_free)
                        return slot;
        }
        return NULL;
}
