#include "server/notebook_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"
#include "server/notebook_cell.h"
#include "server/respond.h"
#include "server/time_text.h"

/* One cell takes at most this part of what the notebook may have. */
#define CELL_PART 4
/* What is left when a notebook is trimmed: so much that it is not trimmed again at the next run. */
#define TRIMMED(bytes_max) ((bytes_max) / 4 * 3)
/* While it is being trimmed, which a slow disk may delay, a file may grow past its bound by so
 * much; further cells are lost. */
#define OVERSHOOT_BYTES (16ULL << 20)

int notebooks_new(const NotebookConfig *config, Notebooks **ret_notebooks) {
        Notebooks *notebooks = calloc(1, sizeof(*notebooks));

        if (!notebooks)
                return raise_error(-ENOMEM, "notebooks");
        notebooks->config = *config;
        notebooks->chores = pool_chores(config->pool);
        *ret_notebooks = notebooks;
        return 0;
}

Notebooks *notebooks_free(Notebooks *notebooks) {
        free(notebooks);
        return NULL;
}

/* ── The file of cells ── */

static void name_cells(unsigned member, const char *suffix, char ret_name[NOTEBOOK_FILE_NAME_MAX]) {
        (void) snprintf(ret_name, NOTEBOOK_FILE_NAME_MAX, "%u.cells%s", member, suffix);
}

/* Of no interest to anybody but the server, even where the folder is open to others. */
static int open_cells(int directory_fd, unsigned member, int flags) {
        char name[NOTEBOOK_FILE_NAME_MAX];
        int fd;

        name_cells(member, "", name);
        fd = openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? -errno : fd;
}

int notebook_write_all(int fd, Slice bytes) {
        while (bytes.size > 0) {
                ssize_t n = write(fd, bytes.data, bytes.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes = slice_of(bytes.data + n, bytes.size - (size_t) n);
        }
        return 0;
}

int notebook_view(const Session *session, CellsView *ret_view) {
        struct stat status;
        _autoclose_ int fd =
                open_cells(session_record_fd(session), session_member(session), O_RDONLY);

        *ret_view = (CellsView){.fd = -1};
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return raise_error(fd, "open a session's notebook");
        if (fstat(fd, &status) < 0)
                return raise_errno("look at a session's notebook");
        *ret_view = (CellsView){.fd = take_fd(fd), .size = (uint64_t) status.st_size};
        return 0;
}

int notebook_view_read(const CellsView *view, Buffer *out) {
        uint64_t offset = 0;
        int r;

        if (view->fd < 0 || view->size == 0)
                return 0;
        r = buffer_reserve(out, view->size);
        if (r < 0)
                return r;
        while (offset < view->size) {
                ssize_t n =
                        pread(view->fd, out->data + out->size, view->size - offset, (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                out->size += (size_t) n;
                offset += (uint64_t) n;
        }
        return 0;
}

/* ── A notebook that is written anew: a trimmed one, or the one of a copy ── */

/* A chore reads what source held when it began, and writes the new file beside the session's own.
 * What the session has appended in the meantime comes behind it in the end, in the loop's thread;
 * then the new file takes the old one's place. */
struct Rewrite {
        Chore chore;
        Notebooks *notebooks;
        Rewrite *next;
        CellsView source;
        int directory_fd; /* the home */
        unsigned member;
        struct stat old;      /* the file that is to be replaced */
        uint64_t kept_of_old; /* bytes of it that are in source, too */
        uint64_t target;
        void (*done)(void *data, int r);
        void *data;
};

static Rewrite *rewrite_free(Rewrite *rewrite) {
        if (!rewrite)
                return NULL;
        kit_close_fd(&rewrite->source.fd);
        kit_close_fd(&rewrite->directory_fd);
        free(rewrite);
        return NULL;
}
DEFINE_CLEANUP(Rewrite, rewrite_free)

static int open_new(const Rewrite *rewrite, int flags) {
        char name[NOTEBOOK_FILE_NAME_MAX];
        int fd;

        name_cells(rewrite->member, ".new", name);
        fd = openat(rewrite->directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? -errno : fd;
}

static int rewrite_work(Chore *chore) {
        Rewrite *rewrite = (Rewrite *) chore;
        _cleanup_(buffer_done) Buffer lines = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer trimmed = BUFFER_INIT(0);
        _autoclose_ int fd = -1;
        int r;

        r = notebook_view_read(&rewrite->source, &lines);
        if (r == 0)
                r = notebook_trim(buffer_slice(&lines), rewrite->target, &trimmed);
        if (r < 0)
                return r;
        fd = open_new(rewrite, O_WRONLY | O_CREAT | O_TRUNC);
        if (fd < 0)
                return fd;
        r = notebook_write_all(fd, buffer_slice(&trimmed));
        if (r == 0 && fdatasync(fd) < 0)
                r = -errno;
        return r;
}

static int append_newer_cells(const Rewrite *rewrite, int old_fd, uint64_t old_size) {
        _cleanup_(buffer_done) Buffer newer = BUFFER_INIT(0);
        const CellsView view = {.fd = old_fd, .size = old_size};
        _autoclose_ int fd = -1;
        int r;

        if (old_size <= rewrite->kept_of_old)
                return 0;
        r = notebook_view_read(&view, &newer);
        if (r < 0)
                return r;
        buffer_consume(&newer, rewrite->kept_of_old);
        fd = open_new(rewrite, O_WRONLY | O_APPEND);
        return fd < 0 ? fd : notebook_write_all(fd, buffer_slice(&newer));
}

/* -ENOENT: the session has ended; no later one has this member's number. */
static int replace_old(const Rewrite *rewrite) {
        char name[NOTEBOOK_FILE_NAME_MAX], new_name[NOTEBOOK_FILE_NAME_MAX];
        _autoclose_ int fd = open_cells(rewrite->directory_fd, rewrite->member, O_RDONLY);
        struct stat status;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &status) < 0)
                return -errno;
        r = append_newer_cells(rewrite, fd, (uint64_t) status.st_size);
        if (r < 0)
                return r;
        name_cells(rewrite->member, "", name);
        name_cells(rewrite->member, ".new", new_name);
        return renameat(rewrite->directory_fd, new_name, rewrite->directory_fd, name) < 0 ? -errno
                                                                                          : 0;
}

/* So much may have come while the file was trimmed that it has to be trimmed once more. */
static bool is_trimmed_again(Rewrite *rewrite) {
        _autoclose_ int fd = open_cells(rewrite->directory_fd, rewrite->member, O_RDONLY);

        if (rewrite->done || fd < 0 || fstat(fd, &rewrite->old) < 0 ||
            (uint64_t) rewrite->old.st_size <= rewrite->notebooks->config.bytes_max)
                return false;
        close_fd(&rewrite->source.fd);
        rewrite->kept_of_old = (uint64_t) rewrite->old.st_size;
        rewrite->source = (CellsView){.fd = take_fd(fd), .size = rewrite->kept_of_old};
        return chores_add(rewrite->notebooks->chores, &rewrite->chore) == 0;
}

static void rewrite_done(Chore *chore, int result) {
        Rewrite *rewrite = (Rewrite *) chore;
        Rewrite **link = &rewrite->notebooks->rewrites;

        if (result == 0)
                result = replace_old(rewrite);
        if (result == 0 && is_trimmed_again(rewrite))
                return;
        while (*link != rewrite)
                link = &(*link)->next;
        *link = rewrite->next;
        if (result < 0) {
                char new_name[NOTEBOOK_FILE_NAME_MAX];

                name_cells(rewrite->member, ".new", new_name);
                (void) unlinkat(rewrite->directory_fd, new_name, 0);
        }
        if (result < 0 && result != -ENOENT)
                log_warning("a session's notebook could not be written anew: %s",
                            strerror(-result));
        if (rewrite->done)
                rewrite->done(rewrite->data, result);
        (void) rewrite_free(rewrite);
}

/* Takes over source. */
static int rewrite_start(Notebooks *notebooks, const Session *session, CellsView *source,
                         const Rewrite *kind) {
        _cleanup_(rewrite_freep) Rewrite *rewrite = malloc(sizeof(*rewrite));
        _autoclose_ int old_fd = -1;
        int r;

        if (!rewrite)
                return raise_error(-ENOMEM, "a session's notebook");
        *rewrite = *kind;
        rewrite->chore = (Chore){.work = rewrite_work, .done = rewrite_done};
        rewrite->notebooks = notebooks;
        rewrite->source = *source;
        source->fd = -1;
        rewrite->member = session_member(session);
        rewrite->directory_fd = fcntl(session_record_fd(session), F_DUPFD_CLOEXEC, 0);
        if (rewrite->directory_fd < 0)
                return raise_errno("a session's notebook");
        old_fd = open_cells(rewrite->directory_fd, rewrite->member, O_RDONLY | O_CREAT);
        if (old_fd < 0)
                return raise_error(old_fd, "a session's notebook");
        if (fstat(old_fd, &rewrite->old) < 0)
                return raise_errno("a session's notebook");
        r = chores_add(notebooks->chores, &rewrite->chore);
        if (r < 0)
                return r;
        rewrite->next = notebooks->rewrites;
        notebooks->rewrites = take_ptr(rewrite);
        return 0;
}

static bool is_being_rewritten(const Notebooks *notebooks, const struct stat *status) {
        for (const Rewrite *rewrite = notebooks->rewrites; rewrite; rewrite = rewrite->next) {
                if (rewrite->old.st_ino == status->st_ino && rewrite->old.st_dev == status->st_dev)
                        return true;
        }
        return false;
}

static void trim(Notebooks *notebooks, const Session *session) {
        CellsView view;
        Rewrite kind = {.target = TRIMMED(notebooks->config.bytes_max)};
        int r = notebook_view(session, &view);

        if (r < 0)
                return;
        kind.kept_of_old = view.size;
        r = rewrite_start(notebooks, session, &view, &kind);
        close_fd(&view.fd);
        if (r < 0)
                log_warning("a session's notebook is not trimmed now: %s", strerror(-r));
}

int notebook_copy(Notebooks *notebooks, const Session *source, const Session *copy,
                  void (*done)(void *data, int r), void *data) {
        const Rewrite kind = {
                .target = notebooks->config.bytes_max,
                .done = done,
                .data = data,
        };
        CellsView view;
        int r = notebook_view(source, &view);

        if (r == 0)
                r = rewrite_start(notebooks, copy, &view, &kind);
        close_fd(&view.fd);
        return r;
}

/* ── What happened ── */

/* A line break on both sides: what a crash has left of the line before stays a line of its own. */
static int append_line(Notebooks *notebooks, const Session *session, Slice line) {
        uint64_t bytes_max = notebooks->config.bytes_max;
        _autoclose_ int fd = open_cells(session_record_fd(session), session_member(session),
                                        O_WRONLY | O_APPEND | O_CREAT);
        struct stat status;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &status) < 0)
                return -errno;
        if ((uint64_t) status.st_size > bytes_max + OVERSHOOT_BYTES)
                return -EFBIG;
        r = notebook_write_all(fd, line);
        if (r < 0) {
                if (ftruncate(fd, status.st_size) < 0)
                        log_warning("half a cell stays in a session's notebook: %m");
                return r;
        }
        if ((uint64_t) status.st_size + line.size > bytes_max &&
            !is_being_rewritten(notebooks, &status))
                trim(notebooks, session);
        return 0;
}

static void append(Notebooks *notebooks, const Session *session, int r, Buffer *line) {
        if (r == 0)
                r = buffer_append(line, "\n", 1);
        if (r == 0)
                r = append_line(notebooks, session, buffer_slice(line));
        if (r < 0)
                log_warning("a cell is missing in a session's notebook: %s", strerror(-r));
}

void notebook_add_run(Notebooks *notebooks, const Session *session, const char *cell_id,
                      Slice source, const RunResult *result) {
        const NotebookRun run = {
                .cell_id = cell_id,
                .source = source,
                .result = result,
                .end_ms = time_epoch_ms(),
        };
        _cleanup_(buffer_done) Buffer line = BUFFER_INIT(0);
        int r = buffer_append(&line, "\n", 1);

        if (r == 0)
                r = notebook_write_run_within(&run, notebooks->config.bytes_max / CELL_PART, &line);
        append(notebooks, session, r, &line);
}

void notebook_add_note(Notebooks *notebooks, const Session *session, const char *sentence) {
        _cleanup_(buffer_done) Buffer line = BUFFER_INIT(0);
        char cell_id[RUN_ID_SIZE];
        int r = buffer_append(&line, "\n", 1);

        make_run_id(cell_id);
        memcpy(cell_id, "note", 4);
        if (r == 0)
                r = notebook_write_note(cell_id, sentence, &line);
        append(notebooks, session, r, &line);
}
