/* slot_cgroup: which slots have a control group, and when its limits are set, looked at, and its
 * processes ended. */

#include <errno.h>
#include <string.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* What a worker is charged for before its run: pages that were touched for it (some 9 MiB after
 * pandas), stacks, page tables … */
#define IDLE_BYTES (16ULL << 20)

/* … and what the kernel adds to memory in use: 8 bytes of page table for 4096, and the like. */
#define OVERHEAD_DIVISOR 128

/* A group that is not empty after so many looks, 100 ms apart, never will be. */
#define LOOKS_MAX 50

int cgroups_open(Pool *pool) {
        const IsolationPlan *plan = pool->config.isolation;
        int r;

        if (!plan || !(plan->layers & layer_bit(LAYER_CGROUP)))
                return 0;
        r = cgroup_tree_open(&pool->cgroups);
        /* The survey had found some; the plan is void. */
        if (r == 0 && pool->cgroups.version == 0)
                r = raise_error(-pool->cgroups.error, "%s", pool->cgroups.tried);
        return r;
}

void cgroups_close(Pool *pool) {
        for (unsigned i = 0; pool->slots && i < pool->n_slots; i++) {
                Slot *slot = &pool->slots[i];

                /* Those that were never set up have no template. */
                if (slot->template && slot_cgroup_exists(&slot->cgroup))
                        cgroup_remove_slot(&pool->cgroups, slot->number, &slot->cgroup);
        }
        cgroup_tree_close(&pool->cgroups);
}

LayerMask cgroups_layers(const CgroupTree *tree, const TemplateConfig *config, LayerMask layers) {
        LayerMask group = layer_bit(LAYER_CGROUP);

        /*
         * In version 1 a worker moves itself, which takes it 40 to 100 us alone, but a lock that
         * keeps every fork of the machine waiting, and waits for those under way: beside two
         * processes that did nothing but fork, one move in a hundred took 16 ms, and forks took
         * half as long again (Linux 6.18, two cores). Without subprocesses, resource limits bound
         * the one process as well. In version 2 it is born in its group, which costs nothing.
         */
        return tree->version == 2 || config->subprocesses ? layers : layers & ~group;
}

/* Files in a cell's tmpfs count as memory. */
static uint64_t group_bytes(uint64_t memory_mb, uint64_t disk_mb) {
        uint64_t memory_bytes = memory_mb << 20;

        return memory_bytes + memory_bytes / OVERHEAD_DIVISOR + (disk_mb << 20) + IDLE_BYTES;
}

static bool has_group(const Slot *slot) {
        return slot_cgroup_exists(&slot->cgroup);
}

int slot_make_cgroup(Slot *slot) {
        const LimitPolicy *limits = &slot->template->config->limits;

        if (!(slot->template->layers & layer_bit(LAYER_CGROUP)))
                return 0;
        return cgroup_make_slot(
                &slot->template->pool->cgroups, slot->number,
                group_bytes(limits->standard[LIMIT_MEMORY_MB], limits->standard[LIMIT_DISK_MB]),
                template_tasks(slot->template), &slot->cgroup);
}

void slot_add_cgroup(const Slot *slot, SpawnCommand *command, int fds[_SPAWN_FDS]) {
        const SlotCgroup *group = &slot->cgroup;

        fds[SPAWN_FD_CGROUP] = group->directory_fd;
        fds[SPAWN_FD_CGROUP_MEMORY] = group->memory_procs_fd;
        fds[SPAWN_FD_CGROUP_PIDS] = group->pids_procs_fd;
        for (unsigned i = SPAWN_FD_CGROUP; i <= SPAWN_FD_CGROUP_PIDS; i++) {
                if (fds[i] >= 0)
                        command->optional_fds |= 1U << i;
        }
}

int slot_limit_cgroup(Slot *slot) {
        const RunLimits *limits = &slot->run->limits;

        if (!has_group(slot))
                return 0;
        return cgroup_limit_memory(
                &slot->cgroup, group_bytes(limits->of[LIMIT_MEMORY_MB], limits->of[LIMIT_DISK_MB]));
}

bool slot_is_out_of_memory(Slot *slot) {
        if (has_group(slot) && cgroup_was_out_of_memory(&slot->cgroup))
                slot->out_of_memory = true;
        return slot->out_of_memory;
}

void slot_forget_out_of_memory(Slot *slot) {
        (void) slot_is_out_of_memory(slot);
        slot->out_of_memory = false;
}

void slot_kill_cgroup(Slot *slot) {
        /* Where there is a cell, its keeper is killed, and the kernel sees to the rest. */
        if (has_group(slot) && slot->template->config->subprocesses && !slot->template->has_cells)
                cgroup_kill(&slot->template->pool->cgroups, slot->number, &slot->cgroup);
}

int slot_check_cgroup(Slot *slot) {
        Pool *pool = slot->template->pool;
        int r;

        if (!has_group(slot) || !slot->template->config->subprocesses)
                return 0;
        r = cgroup_is_empty(&pool->cgroups, slot->number);
        if (r == 1) {
                slot->cgroup_looks = 0;
                return 0;
        }
        if (r == 0)
                cgroup_kill(&pool->cgroups, slot->number, &slot->cgroup);
        if (++slot->cgroup_looks < LOOKS_MAX)
                return r < 0 ? r : -EBUSY;
        log_error("slot %u is given up: its control group does not become empty", slot->number);
        pool->counters.quarantined++;
        slot_move(slot, SLOT_EV_DIRTY);
        return -EBUSY;
}
