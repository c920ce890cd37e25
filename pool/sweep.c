/* sweep: kills and reaps children of ours that nobody knows. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "pool/internal.h"

static bool is_known(const Pool *pool, pid_t pid) {
        for (unsigned i = 0; i < pool->n_slots; i++) {
                if (pool->slots[i].worker.pid == pid || pool->slots[i].cell.keeper_pid == pid)
                        return true;
        }
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                const Template *template = &pool->templates[i];

                if ((template->zygote && zygote_pid(template->zygote) == pid) ||
                    (template->next_zygote && zygote_pid(template->next_zygote) == pid) ||
                    (template->maker && cell_maker_pid(template->maker) == pid) ||
                    (template->next_maker && cell_maker_pid(template->next_maker) == pid))
                        return true;
        }
        for (size_t i = 0; i < POOL_ADOPTED_MAX; i++) {
                if (pool->adopted[i] == pid)
                        return true;
        }
        return false;
}

static void replace_adopted(Pool *pool, pid_t old, pid_t new) {
        for (size_t i = 0; i < POOL_ADOPTED_MAX; i++) {
                if (pool->adopted[i] == old) {
                        pool->adopted[i] = new;
                        return;
                }
        }
        assert(!"there are no more places than processes");
}

void pool_adopt(Pool *pool, pid_t pid) {
        replace_adopted(pool, 0, pid);
}

void pool_disown(Pool *pool, pid_t pid) {
        replace_adopted(pool, pid, 0);
}

/* Returns how many strays were there. */
static unsigned sweep_list(const Pool *pool, char *children) {
        unsigned found = 0;
        char *rest = NULL;

        for (char *word = strtok_r(children, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                pid_t pid = (pid_t) strtol(word, NULL, 10);

                if (pid <= 0 || is_known(pool, pid))
                        continue;
                found++;
                /* 0: it is our living child, so that the number is still its own. */
                if (waitpid(pid, NULL, WNOHANG) == 0) {
                        (void) kill(pid, SIGKILL);
                        (void) waitpid(pid, NULL, WNOHANG);
                }
        }
        return found;
}

/* Reads the list of our children; the kernel gives no more than a page of it at a time. Needs
 * CONFIG_PROC_CHILDREN, which Debian's kernels have. */
static int read_children(char *children, size_t size) {
        _autoclose_ int fd = -1;
        char path[64];
        size_t used = 0;
        ssize_t n = 1;

        /* The server forks from its main thread only. */
        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        while (n > 0 && used < size - 1) {
                n = read(fd, children + used, size - 1 - used);
                if (n < 0)
                        return -errno;
                used += (size_t) n;
        }
        /* A number that the end of the room has cut is another process's. */
        while (used > 0 && children[used - 1] != ' ')
                used--;
        children[used] = '\0';
        return 0;
}

void spares_sweep(Pool *pool) {
        static char children[65536];
        int r;

        if (pool->sessions.n_copies_unnamed > 0)
                return;
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                if (pool->templates[i].outstanding + pool->templates[i].next_outstanding > 0 ||
                    pool->templates[i].cells_unnamed > 0)
                        return;
        }
        r = read_children(children, sizeof(children));
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) {
                timer_set(&pool->timers, &pool->sweep_timer, clock_now_ns() + 50 * NS_PER_MS);
                return;
        }
        if (r < 0) {
                log_warning("cannot look for stray processes: %s", strerror(-r));
                pool->sweep_wanted = false;
                return;
        }
        /* A stray that has just been killed needs a moment, and its own children come to us only
         * when it is gone: it is over when none is found. */
        pool->sweep_wanted = sweep_list(pool, children) > 0;
        if (pool->sweep_wanted)
                timer_set(&pool->timers, &pool->sweep_timer, clock_now_ns() + 2 * NS_PER_MS);
}
