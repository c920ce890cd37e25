#include "pool/cell.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/cleanup.h"
#include "kit/error.h"

/*
 * Beyond these, a new cell is cheaper for the supervisor, though not for the machine: removing a
 * file takes a microsecond or two, and as long again for each few pages of it, while a cell's end
 * costs this thread two system calls, and the kernel frees the files on the keeper's account.
 */
#define EMPTY_ENTRIES_MAX 128
#define EMPTY_BYTES_MAX   (4U << 20)
#define EMPTY_DEPTH_MAX   8

static const char *const folders[] = {"work", "tmp", "shm"};

static const CellMove moves[_CELL_STATES][_CELL_EVENTS] = {
        [CELL_ABSENT] =
                {
                        [CELL_EV_ASK] = {CELL_ASKED, CELL_AWAIT},
                        [CELL_EV_NAMED] = {CELL_ABSENT, CELL_REFUSE},
                        [CELL_EV_MADE] = {CELL_ABSENT, CELL_REFUSE},
                        [CELL_EV_FAILED] = {CELL_ABSENT, CELL_REFUSE},
                        [CELL_EV_LOST] = {CELL_ABSENT, CELL_DO_NOTHING},
                        [CELL_EV_END] = {CELL_ABSENT, CELL_DO_NOTHING},
                },
        [CELL_ASKED] =
                {
                        [CELL_EV_NAMED] = {CELL_NAMED, CELL_WATCH},
                        [CELL_EV_MADE] = {CELL_ASKED, CELL_REFUSE},
                        [CELL_EV_FAILED] = {CELL_ABSENT, CELL_FORGET},
                        [CELL_EV_LOST] = {CELL_ABSENT, CELL_FORGET_UNNAMED},
                },
        [CELL_NAMED] =
                {
                        [CELL_EV_NAMED] = {CELL_NAMED, CELL_REFUSE},
                        [CELL_EV_MADE] = {CELL_READY, CELL_TAKE},
                        [CELL_EV_FAILED] = {CELL_ENDING, CELL_KILL},
                        [CELL_EV_LOST] = {CELL_ENDING, CELL_KILL},
                        [CELL_EV_END] = {CELL_ENDING, CELL_KILL},
                        [CELL_EV_EXIT] = {CELL_ABSENT, CELL_FORGET},
                },
        [CELL_READY] =
                {
                        [CELL_EV_NAMED] = {CELL_READY, CELL_REFUSE},
                        [CELL_EV_MADE] = {CELL_READY, CELL_REFUSE},
                        [CELL_EV_FAILED] = {CELL_READY, CELL_REFUSE},
                        [CELL_EV_LOST] = {CELL_READY, CELL_DO_NOTHING},
                        [CELL_EV_END] = {CELL_ENDING, CELL_KILL},
                        [CELL_EV_EXIT] = {CELL_ABSENT, CELL_FORGET},
                },
        [CELL_ENDING] =
                {
                        [CELL_EV_NAMED] = {CELL_ENDING, CELL_REFUSE},
                        [CELL_EV_MADE] = {CELL_ENDING, CELL_DO_NOTHING},
                        [CELL_EV_FAILED] = {CELL_ENDING, CELL_DO_NOTHING},
                        [CELL_EV_LOST] = {CELL_ENDING, CELL_DO_NOTHING},
                        [CELL_EV_END] = {CELL_ENDING, CELL_DO_NOTHING},
                        [CELL_EV_EXIT] = {CELL_ABSENT, CELL_FORGET},
                },
};

CellMove cell_next(CellState state, CellEvent event) {
        assert(state < _CELL_STATES && event < _CELL_EVENTS);
        return moves[state][event];
}

const char *cell_state_name(CellState state) {
        static const char *const names[_CELL_STATES] = {
                [CELL_ABSENT] = "absent", [CELL_ASKED] = "asked",   [CELL_NAMED] = "named",
                [CELL_READY] = "ready",   [CELL_ENDING] = "ending",
        };

        assert(state < _CELL_STATES);
        return names[state];
}

const char *cell_event_name(CellEvent event) {
        static const char *const names[_CELL_EVENTS] = {
                [CELL_EV_ASK] = "ask",       [CELL_EV_NAMED] = "named", [CELL_EV_MADE] = "made",
                [CELL_EV_FAILED] = "failed", [CELL_EV_LOST] = "lost",   [CELL_EV_END] = "end",
                [CELL_EV_EXIT] = "exit",
        };

        assert(event < _CELL_EVENTS);
        return names[event];
}

/* --- the keeper --- */

int cell_watch_keeper(Cell *cell, pid_t pid) {
        cell->keeper_pid = pid;
        /* Our child (CLONE_PARENT), for which nobody else waits: the number is its own. */
        cell->keeper_pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        return cell->keeper_pidfd < 0 ? raise_errno("open a pidfd of keeper %d", pid) : 0;
}

void cell_kill_keeper(const Cell *cell) {
        if (cell->keeper_pidfd >= 0)
                (void) syscall(SYS_pidfd_send_signal, cell->keeper_pidfd, SIGKILL, NULL, 0);
        else if (cell->keeper_pid > 0)
                (void) kill(cell->keeper_pid, SIGKILL);
}

int cell_wait_keeper(const Cell *cell) {
        pid_t pid = waitpid(cell->keeper_pid, NULL, WNOHANG);

        if (pid < 0)
                return raise_errno("wait for keeper %d", cell->keeper_pid);
        return pid == cell->keeper_pid;
}

/* --- the folders --- */

int cell_measure(const Cell *cell, uint64_t *ret_bytes, uint64_t *ret_inodes) {
        struct statfs status;

        if (fstatfs(cell->fds[CELL_FD_DIRECTORY], &status) < 0)
                return raise_errno("measure the files of a cell");
        *ret_bytes = (uint64_t) (status.f_blocks - status.f_bfree) * (uint64_t) status.f_bsize;
        *ret_inodes = (uint64_t) (status.f_files - status.f_ffree);
        return 0;
}

int cell_open_folder(const Cell *cell, const char *name) {
        int fd, directory_fd = cell->fds[CELL_FD_DIRECTORY];

        /* Its owner may have closed it to himself, and a server that is not root is no more than
         * that. What workers see is what is in the three folders, not what they are in, so that
         * none of them can be another thing meanwhile. */
        if (fchmodat(directory_fd, name, 0700, 0) < 0)
                return raise_errno("set the mode of folder %s of a cell", name);
        fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? raise_errno("open folder %s of a cell", name) : fd;
}

/* Takes the descriptor. */
static int empty_folder(int fd, unsigned depth, unsigned *entries) {
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!directory) {
                r = -errno;
                if (fd >= 0)
                        (void) close(fd);
                return r;
        }
        if (depth > EMPTY_DEPTH_MAX)
                r = -E2BIG;
        while (r == 0 && (entry = readdir(directory))) {
                const char *name = entry->d_name;

                if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                        continue;
                if (++*entries > EMPTY_ENTRIES_MAX) {
                        r = -E2BIG;
                } else if (entry->d_type != DT_DIR) {
                        r = unlinkat(fd, name, 0) < 0 ? -errno : 0;
                } else if (unlinkat(fd, name, AT_REMOVEDIR) < 0) {
                        r = empty_folder(
                                openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                                depth + 1, entries);
                        if (r == 0 && unlinkat(fd, name, AT_REMOVEDIR) < 0)
                                r = -errno;
                }
        }
        (void) closedir(directory);
        return r;
}

static bool is_clean(const Cell *cell, uint64_t bytes, uint64_t inodes) {
        return bytes <= cell->clean_bytes && inodes <= cell->clean_inodes;
}

/* What a run can leave on the folders themselves: their modes, and times of its choice, which are
 * numbers that the next one could read. */
static int make_new(const Cell *cell) {
        static const struct timespec times[2];

        for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
                int directory_fd = cell->fds[CELL_FD_DIRECTORY];

                if (fchmodat(directory_fd, folders[i], 0700, 0) < 0)
                        return raise_errno("set the mode of folder %s of a cell", folders[i]);
                if (utimensat(directory_fd, folders[i], times, 0) < 0)
                        return raise_errno("set the times of folder %s of a cell", folders[i]);
        }
        return 0;
}

int cell_empty(const Cell *cell, bool process_stays) {
        uint64_t bytes, inodes;
        unsigned entries = 0;
        int r;

        r = cell_measure(cell, &bytes, &inodes);
        if (r < 0)
                return r;
        if (is_clean(cell, bytes, inodes))
                return make_new(cell);
        if (bytes > cell->clean_bytes + EMPTY_BYTES_MAX ||
            inodes > cell->clean_inodes + EMPTY_ENTRIES_MAX)
                return -E2BIG;
        for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
                int fd = cell_open_folder(cell, folders[i]);

                r = fd < 0 ? fd : empty_folder(fd, 0, &entries);
                if (r < 0)
                        return r;
        }
        r = make_new(cell);
        if (r < 0 || process_stays)
                return r;
        /* A file without a name, an attribute of a folder: they count, and cannot be seen. */
        r = cell_measure(cell, &bytes, &inodes);
        if (r < 0)
                return r;
        return is_clean(cell, bytes, inodes) ? 0 : -ENOTEMPTY;
}
