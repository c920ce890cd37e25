/* canary_probe: one canary: what it is asked, what its answer says. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/log.h"
#include "pool/internal.h"
#include "wire/frame.h"

/* --- the request --- */

static ProofClaim claim_of(const Slot *slot) {
        const Template *template = slot->template;
        const IsolationPlan *isolation = template->pool->config.isolation;

        return (ProofClaim){
                .subject = slot->trial->subject,
                .layers = template->layers,
                .landlock_abi = isolation ? isolation->survey.landlock_abi : 0,
                .subprocesses = template->config->subprocesses,
        };
}

/* In a cell, 1 is the keeper, whom a worker may well signal. */
static int32_t target_pid(const Template *template, pid_t pid) {
        return pid == 1 && template->layers & layer_bit(LAYER_PID_NAMESPACE) ? 0 : pid;
}

/* An idle worker if there is one; none that a canary is related to. */
static pid_t neighbour_of(const Slot *canary) {
        const Pool *pool = canary->template->pool;
        pid_t found = 0;

        for (unsigned i = 0; i < pool->n_slots; i++) {
                const Slot *slot = &pool->slots[i];

                if (slot->trial || slot->worker.pid <= 0 || slot->state == SLOT_RETIRING)
                        continue;
                if (slot->state == SLOT_IDLE)
                        return slot->worker.pid;
                found = slot->worker.pid;
        }
        return found;
}

/* Another one each time. */
static Probe forbidden_call(unsigned number) {
        unsigned n = _PROBES - PROBE_FIRST_FORBIDDEN;

        return (Probe) (PROBE_FIRST_FORBIDDEN + number % n);
}

static void name_homes(const Slot *slot, ProbeRequest *request) {
        const SharedHome *shared = slot->place->shared;
        const Place *other = slot->template->canary.other;

        request->flags |= PROBE_IN_SESSION;
        if (slot->trial->subject == PROOF_OF_COPIES)
                request->flags |= PROBE_IN_COPY;
        request->member = slot->place->member.number;
        if (!slot->template->has_cell_folders)
                home_path(shared->homes, &shared->home, request->home_path,
                          sizeof(request->home_path));
        (void) snprintf(request->homes_path, sizeof(request->homes_path), "%s",
                        shared->homes->path);
        (void) snprintf(request->own_home, sizeof(request->own_home), "%s", shared->home.name);
        (void) snprintf(request->other_home, sizeof(request->other_home), "%s",
                        other->shared->home.name);
}

static ProbeRequest request_for(const Slot *slot) {
        const Template *template = slot->template;
        const Trial *trial = slot->trial;
        ProofClaim claim = claim_of(slot);
        ProbeRequest request = template->pool->targets.request;

        request.attempts = proof_attempts(&claim);
        if (template->layers & layer_bit(LAYER_SECCOMP))
                request.flags = PROBE_FORBIDDEN_CALL;
        request.forbidden = forbidden_call(slot->generation + slot->trial->subject);
        request.server_pid = target_pid(template, getpid());
        request.zygote_pid = target_pid(template, zygote_pid(template->zygote));
        request.neighbour_pid = target_pid(template, neighbour_of(slot));
        /* A copy has what its source has. */
        if (slot->host)
                trial = slot->host->trial;
        request.tasks = trial->tasks;
        request.memory_bytes = trial->memory_bytes;
        request.file_bytes = trial->file_bytes;
        /* The files of a session are on disk. */
        if (slot->place)
                name_homes(slot, &request);
        else if (template->has_cell_folders)
                request.disk_bytes = limits_cell_bytes(&template->config->limits);
        return request;
}

void canary_on_spawn(Slot *slot, const SpawnCommand *command) {
        Trial *trial = slot->trial;

        trial->was_asked = true;
        trial->tasks = command->tasks;
        trial->memory_bytes = command->memory_bytes;
        trial->file_bytes = command->file_bytes;
}

void canary_send(Slot *slot) {
        Trial *trial = slot->trial;
        ProbeRequest request = request_for(slot);
        FrameHeader header = frame_header(REQUEST_PROBE, sizeof(request));
        uint8_t bytes[sizeof(header) + sizeof(request)];

        trial->state = TRIAL_PROBING;
        trial->answered = false;
        trial->forbidden = (Probe) request.forbidden;
        /* While it is there to be looked at: it ends with its answer. */
        witness_look(slot->worker.pid, slot->template->layers, &trial->testimony);
        trial->sent_ns = clock_now_ns();
        slot->exited = false;
        memcpy(bytes, &header, sizeof(header));
        memcpy(bytes + sizeof(header), &request, sizeof(request));
        /* The pipe is empty, so it fits. If the worker has died, its pidfd will tell. */
        if (write(slot->worker.request_fd, bytes, sizeof(bytes)) != sizeof(bytes))
                log_debug("slot %u cannot be probed", slot->number);
}

void canary_on_answer(Slot *slot) {
        slot->trial->answer = slot->result.probed;
        slot->trial->answered = true;
}

void canary_on_end(Slot *slot) {
        Trial *trial = slot->trial;

        trial->state = TRIAL_ENDED;
        trial->ended_ns = clock_now_ns();
        trial->wait_status = slot->exited ? slot->wait_status : -1;
}

/* --- the answer --- */

TrialVerdict trial_judge(Trial *trial, const char **ret_could, LayerMask *ret_defenders) {
        Canary *canary = &trial->slot->template->canary;
        ProofClaim claim = claim_of(trial->slot);
        int status = trial->wait_status;
        bool exited = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        bool stopped = status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        bool is_filtered = claim.layers & layer_bit(LAYER_SECCOMP);
        ProofResult *result = &trial->result;

        if (!trial->answered)
                return TRIAL_SAYS_NOTHING;
        proof_judge(&trial->answer, &claim, result);
        result->proven |= trial->testimony.shown;
        if (!result->holds) {
                *ret_could = probe_text(result->broken);
                *ret_defenders = proof_defenders(result->broken, &claim);
                return TRIAL_GETS_OUT;
        }
        /* The worker has told nothing wrong, and would hardly know. */
        if (trial->testimony.belied) {
                (void) snprintf(canary->broken_text, sizeof(canary->broken_text),
                                "get ready while %s", trial->testimony.text);
                *ret_could = canary->broken_text;
                *ret_defenders = trial->testimony.belied;
                return TRIAL_GETS_OUT;
        }
        if (is_filtered && exited) {
                result->tried++;
                *ret_could = probe_text(trial->forbidden);
                *ret_defenders = layer_bit(LAYER_SECCOMP);
                return TRIAL_GETS_OUT;
        }
        if (is_filtered ? !stopped : !exited)
                return TRIAL_SAYS_NOTHING;
        result->tried += is_filtered;
        result->stopped += is_filtered;
        return TRIAL_IS_STOPPED;
}
