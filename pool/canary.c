#include "pool/canary.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"
#include "wire/frame.h"

#define FOLDER "canary"

/* A canary can be killed by somebody else, or find no time to answer. */
#define NO_ANSWERS_MAX 3

/* --- the targets --- */

static void make_path(char *path, size_t size, const Workspace *workspace, const char *name) {
        if ((size_t) snprintf(path, size, "%s/" FOLDER "/%s", workspace->path, name) >= size)
                path[0] = '\0';
}

static int listen_at(const struct sockaddr_un *address, size_t size) {
        _autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *) address, (socklen_t) size) < 0 ||
            listen(fd, 1) < 0) {
                log_warning("canaries have no socket to try: %s", strerror(errno));
                return -1;
        }
        return take_fd(fd);
}

static void make_sockets(CanaryTargets *targets, const Workspace *workspace) {
        ProbeRequest *request = &targets->request;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int n;

        n = snprintf(request->abstract_name, sizeof(request->abstract_name), "hatchery-%d-%jx",
                     getpid(), (uintmax_t) (clock_now_ns() & 0xffffffff));
        memcpy(address.sun_path + 1, request->abstract_name, (size_t) n);
        targets->abstract_fd =
                listen_at(&address, offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n);
        if (targets->abstract_fd < 0)
                request->abstract_name[0] = '\0';

        make_path(request->socket_path, sizeof(request->socket_path), workspace, "socket");
        if (!request->socket_path[0])
                return;
        memcpy(address.sun_path, request->socket_path, sizeof(address.sun_path));
        targets->named_fd = listen_at(&address, sizeof(address));
        if (targets->named_fd < 0 || chmod(request->socket_path, 0777) < 0)
                request->socket_path[0] = '\0';
}

/* That of a host which happens to have the cells' own is no secret. */
static void name_host(ProbeRequest *request) {
        struct utsname name;

        if (uname(&name) == 0 && strcmp(name.nodename, CELL_HOST_NAME) != 0)
                (void) snprintf(request->host_name, sizeof(request->host_name), "%s",
                                name.nodename);
}

static void make_files(CanaryTargets *targets, const Workspace *workspace, int folder_fd) {
        ProbeRequest *request = &targets->request;
        _autoclose_ int fd =
                openat(folder_fd, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0 && write(fd, "secret", 6) == 6)
                make_path(request->secret_path, sizeof(request->secret_path), workspace, "secret");
        if (mkdirat(folder_fd, "shared", 0777) == 0 && fchmodat(folder_fd, "shared", 0777, 0) == 0)
                make_path(request->shared_path, sizeof(request->shared_path), workspace, "shared");
        (void) snprintf(request->work_path, sizeof(request->work_path), "%s", workspace->path);
}

/* Marked to be removed as soon as nobody has it attached, but Linux lets it be attached until then.
 */
static void make_segment(CanaryTargets *targets) {
        int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
        void *segment = id < 0 ? (void *) -1 : shmat(id, NULL, 0);

        if (id >= 0)
                (void) shmctl(id, IPC_RMID, NULL);
        if (segment == (void *) -1)
                return;
        targets->segment = segment;
        targets->request.segment = (uint32_t) id + 1;
}

int canary_open(CanaryTargets *targets, const Workspace *workspace, uint16_t port) {
        _autoclose_ int folder_fd = -1;

        *targets = CANARY_TARGETS_NONE;
        if (mkdirat(workspace->root_fd, FOLDER, 0711) < 0)
                return raise_errno("make a folder in %s", workspace->path);
        folder_fd =
                openat(workspace->root_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* Whatever the umask: nothing but a layer shall stand before what is inside. */
        if (folder_fd < 0 || fchmod(folder_fd, 0711) < 0)
                return raise_errno("open a folder in %s", workspace->path);
        make_files(targets, workspace, folder_fd);
        make_sockets(targets, workspace);
        make_segment(targets);
        name_host(&targets->request);
        targets->request.port = port;
        return 0;
}

void canary_close(CanaryTargets *targets) {
        close_fd(&targets->abstract_fd);
        close_fd(&targets->named_fd);
        if (targets->segment)
                (void) shmdt(targets->segment);
        *targets = CANARY_TARGETS_NONE;
}

/* --- the request --- */

static ProofClaim claim_of(const Template *template) {
        const IsolationPlan *isolation = template->pool->config.isolation;

        return (ProofClaim){
                .layers = template->layers,
                .landlock_abi = isolation ? isolation->survey.landlock_abi : 0,
                .subprocesses = template->config->subprocesses,
        };
}

/* In a cell, 1 is the keeper, whom a worker may well signal. */
static int32_t target_pid(const Template *template, pid_t pid) {
        return pid == 1 && template->layers & layer_bit(LAYER_PID_NAMESPACE) ? 0 : pid;
}

/* An idle worker if there is one. */
static pid_t neighbour_of(const Slot *canary) {
        const Pool *pool = canary->template->pool;
        pid_t found = 0;

        for (unsigned i = 0; i < pool->n_slots; i++) {
                const Slot *slot = &pool->slots[i];

                if (slot == canary || slot->worker.pid <= 0 || slot->state == SLOT_RETIRING)
                        continue;
                if (slot->state == SLOT_IDLE)
                        return slot->worker.pid;
                found = slot->worker.pid;
        }
        return found;
}

/* Another one each time. */
static Probe forbidden_call(unsigned generation) {
        unsigned n = _PROBES - PROBE_FIRST_FORBIDDEN;

        return (Probe) (PROBE_FIRST_FORBIDDEN + generation % n);
}

static ProbeRequest request_for(const Slot *slot) {
        const Template *template = slot->template;
        ProofClaim claim = claim_of(template);
        SpawnCommand command = spares_command(slot);
        ProbeRequest request = template->pool->targets.request;

        request.attempts = proof_attempts(&claim);
        if (template->layers & layer_bit(LAYER_SECCOMP))
                request.flags = PROBE_FORBIDDEN_CALL;
        request.forbidden = forbidden_call(slot->generation);
        request.server_pid = target_pid(template, getpid());
        request.zygote_pid = target_pid(template, zygote_pid(template->zygote));
        request.neighbour_pid = target_pid(template, neighbour_of(slot));
        request.tasks = command.tasks;
        request.memory_bytes = command.memory_bytes;
        request.file_bytes = command.file_bytes;
        if (template->has_cell_folders)
                request.disk_bytes = limits_cell_bytes(&template->config->limits);
        return request;
}

void canary_send(Slot *slot) {
        Canary *canary = &slot->template->canary;
        ProbeRequest request = request_for(slot);
        FrameHeader header = frame_header(REQUEST_PROBE, sizeof(request));
        uint8_t bytes[sizeof(header) + sizeof(request)];

        canary->slot = slot;
        canary->generation = slot->generation;
        canary->answered = false;
        canary->forbidden = (Probe) request.forbidden;
        /* While it is there to be looked at: it ends with its answer. */
        witness_look(slot->worker.pid, slot->template->layers, &canary->testimony);
        canary->sent_ns = clock_now_ns();
        slot->exited = false;
        memcpy(bytes, &header, sizeof(header));
        memcpy(bytes + sizeof(header), &request, sizeof(request));
        /* The pipe is empty, so it fits. If the worker has died, its pidfd will tell. */
        if (write(slot->worker.request_fd, bytes, sizeof(bytes)) != sizeof(bytes))
                log_debug("slot %u cannot be probed", slot->number);
}

void canary_on_answer(Slot *slot) {
        Canary *canary = &slot->template->canary;

        canary->answer = slot->result.probed;
        canary->answered = true;
}

void canary_on_end(Slot *slot) {
        Canary *canary = &slot->template->canary;

        canary->slot = NULL;
        canary->ended = true;
        canary->ended_ns = clock_now_ns();
        canary->wait_status = slot->exited ? slot->wait_status : -1;
}

/* --- the verdict --- */

/* "seccomp or landlock" */
static void name_layers(LayerMask layers, const char *between, char *text, size_t size) {
        size_t used = 0;

        text[0] = '\0';
        for (unsigned i = 0; i < _LAYERS; i++) {
                if (layers & layer_bit((Layer) i) && used < size)
                        used += (size_t) snprintf(text + used, size - used, "%s%s",
                                                  used > 0 ? between : "",
                                                  layer_about((Layer) i)->name);
        }
}

static void refuse(Template *template, const char *could, LayerMask defenders) {
        char names[256], why[512];

        name_layers(defenders, " or ", names, sizeof(names));
        (void) snprintf(why, sizeof(why), "a canary could %s, which %s must stop", could, names);
        log_error("template %s: %s generation=%u", template->config->name, why,
                  template->canary.generation);
        template->canary.broken = could;
        template->canary.no_answers = 0;
        generation_refuse(template, why);
}

/* The worker has told nothing wrong, and would hardly know. */
static void refuse_testimony(Template *template) {
        Canary *canary = &template->canary;

        (void) snprintf(canary->broken_text, sizeof(canary->broken_text), "get ready while %s",
                        canary->testimony.text);
        refuse(template, canary->broken_text, canary->testimony.belied);
}

static void trust(Template *template) {
        Canary *canary = &template->canary;
        char names[256];

        canary->proven = canary->generation;
        canary->broken = NULL;
        canary->no_answers = 0;
        name_layers(canary->result.proven, ",", names, sizeof(names));
        log_info("template %s: layers hold generation=%u tried=%u stopped=%u canary_us=%ju "
                 "layers=%s",
                 template->config->name, canary->generation, canary->result.tried,
                 canary->result.stopped,
                 (uintmax_t) ((canary->ended_ns - canary->sent_ns) / NS_PER_US), names);
}

/* It was killed, or slow, or has said nonsense: another one is asked. */
static void count_no_answer(Template *template) {
        Canary *canary = &template->canary;

        log_warning("template %s: its canary has not answered generation=%u status=%d",
                    template->config->name, canary->generation, canary->wait_status);
        if (++canary->no_answers < NO_ANSWERS_MAX)
                return;
        canary->broken = "keep silent";
        canary->no_answers = 0;
        generation_refuse(template, "its canaries do not answer");
}

static void judge(Template *template) {
        Canary *canary = &template->canary;
        ProofClaim claim = claim_of(template);
        int status = canary->wait_status;
        bool exited = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        bool stopped = status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        bool is_filtered = claim.layers & layer_bit(LAYER_SECCOMP);
        ProofResult result;

        /* Its zygote has gone meanwhile. */
        if (!template->zygote || canary->generation != template->zygote_generation)
                return;
        if (!canary->answered) {
                count_no_answer(template);
                return;
        }
        proof_judge(&canary->answer, &claim, &result);
        result.proven |= canary->testimony.shown;
        canary->result = result;
        if (!result.holds) {
                refuse(template, probe_text(result.broken), proof_defenders(result.broken, &claim));
        } else if (canary->testimony.belied) {
                refuse_testimony(template);
        } else if (is_filtered && exited) {
                canary->result.tried++;
                refuse(template, probe_text(canary->forbidden), layer_bit(LAYER_SECCOMP));
        } else if (is_filtered ? !stopped : !exited) {
                count_no_answer(template);
        } else {
                canary->result.tried += is_filtered;
                canary->result.stopped += is_filtered;
                trust(template);
        }
}

static Slot *choose(const Template *template) {
        for (int touched = 0; touched < 2; touched++) {
                for (Slot *slot = slot_list_first(&template->runs.idle[touched]); slot;
                     slot = slot->next) {
                        if (slot->generation == template->zygote_generation)
                                return slot;
                }
        }
        return NULL;
}

void canary_check(Template *template) {
        Canary *canary = &template->canary;
        Slot *slot;

        if (canary->ended) {
                canary->ended = false;
                judge(template);
        }
        if (!template->zygote || canary->slot || canary->proven == template->zygote_generation)
                return;
        slot = choose(template);
        if (slot)
                slot_move(slot, SLOT_EV_PROBE);
}

/* Of a generation that was refused, none is left. */
bool canary_trusts(const Slot *slot) {
        return slot->generation <= slot->template->canary.proven;
}
