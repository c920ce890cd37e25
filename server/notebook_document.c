/* notebook_document: the part of notebook.h that makes whole notebooks of cells. */

#include "server/notebook_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "jsontext/scan.h"
#include "kit/error.h"
#include "kit/log.h"
#include "server/notebook_cell.h"

#define PYTHON_VERSION_MAX 31

/* ── Which Python ── */

/* What its zygote says of itself: letters, digits and points of it, up to the first other
 * character. */
static void find_python_version(const Notebooks *notebooks, const Session *session,
                                char ret_version[PYTHON_VERSION_MAX + 1]) {
        SessionInfo info;
        TemplateState state = {.about = "{}"};
        JsonCursor cursor;
        JsonItem item;
        int index;
        size_t size = 0;

        session_inspect(session, &info);
        index = pool_find_template(notebooks->config.pool, slice_of_text(info.template));
        if (index >= 0)
                pool_template_state(notebooks->config.pool, (unsigned) index, &state);
        if (json_is(slice_of_text(state.about), JSON_OBJECT, 0) &&
            json_enter(slice_of_text(state.about), &cursor)) {
                while (json_next(&cursor, &item)) {
                        if (item.kind != JSON_STRING || !slice_equals(item.key, "python"))
                                continue;
                        while (size < PYTHON_VERSION_MAX && size + 2 < item.value.size &&
                               strchr("0123456789.abcr+", item.value.data[size + 1]))
                                size++;
                        memcpy(ret_version, item.value.data + 1, size);
                }
        }
        ret_version[size] = '\0';
}

/* ── Reading ── */

typedef struct Read {
        Chore chore;
        CellsView view;
        char python_version[PYTHON_VERSION_MAX + 1];
        Buffer document;
        void (*done)(void *data, int r, Buffer *document);
        void *data;
} Read;

static int make_document(const CellsView *view, const char *python_version, Buffer *out) {
        _cleanup_(buffer_done) Buffer lines = BUFFER_INIT(0);
        int r = notebook_view_read(view, &lines);

        return r < 0 ? r : notebook_frame(buffer_slice(&lines), python_version, out);
}

static int read_work(Chore *chore) {
        Read *read = (Read *) chore;

        return make_document(&read->view, read->python_version, &read->document);
}

static Read *read_free(Read *read) {
        if (!read)
                return NULL;
        kit_close_fd(&read->view.fd);
        buffer_done(&read->document);
        free(read);
        return NULL;
}
DEFINE_CLEANUP(Read, read_free)

static void read_done(Chore *chore, int result) {
        Read *read = (Read *) chore;

        read->done(read->data, result, &read->document);
        (void) read_free(read);
}

int notebook_read(Notebooks *notebooks, const Session *session,
                  void (*done)(void *data, int r, Buffer *document), void *data) {
        _cleanup_(read_freep) Read *read = calloc(1, sizeof(*read));
        int r;

        if (!read)
                return raise_error(-ENOMEM, "a session's notebook");
        read->chore = (Chore){.work = read_work, .done = read_done};
        read->done = done;
        read->data = data;
        find_python_version(notebooks, session, read->python_version);
        r = notebook_view(session, &read->view);
        if (r == 0)
                r = chores_add(notebooks->chores, &read->chore);
        if (r == 0)
                (void) take_ptr(read);
        return r;
}

/* ── Saving ── */

struct Save {
        Chore chore;
        Notebooks *notebooks;
        Save *next;
        CellsView view;
        CellsView newer; /* what is to be saved after that; fd -1: nothing */
        bool has_newer;
        char id[SESSION_ID_MAX + 1];
        char python_version[PYTHON_VERSION_MAX + 1];
};

void notebook_path(const Notebooks *notebooks, Slice id, char *ret_path, size_t size) {
        (void) snprintf(ret_path, size, "%s/%.*s/notebook_%.*s.ipynb", notebooks->config.directory,
                        (int) id.size, (const char *) id.data, (int) id.size,
                        (const char *) id.data);
}

/* A folder below the directory may have been put there by somebody else: it is entered by
 * descriptor, and no link is followed. */
static int open_folder(const Save *save) {
        const char *directory = save->notebooks->config.directory;
        _autoclose_ int top_fd = -1;
        int fd;

        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
                return -errno;
        top_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (top_fd < 0)
                return -errno;
        if (mkdirat(top_fd, save->id, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(top_fd, save->id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Whole or not at all, whenever it is read, and after a crash too. */
static int write_file(const Save *save, Slice document) {
        char name[SESSION_ID_MAX + 32], new_name[SESSION_ID_MAX + 32];
        _autoclose_ int folder_fd = open_folder(save);
        _autoclose_ int fd = -1;
        int r;

        if (folder_fd < 0)
                return folder_fd;
        (void) snprintf(name, sizeof(name), "notebook_%s.ipynb", save->id);
        (void) snprintf(new_name, sizeof(new_name), ".notebook_%s.ipynb.new", save->id);
        if (unlinkat(folder_fd, new_name, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(folder_fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    0644);
        if (fd < 0)
                return -errno;
        r = notebook_write_all(fd, document);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(folder_fd, new_name, folder_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(folder_fd, new_name, 0);
        return r;
}

static int save_work(Chore *chore) {
        Save *save = (Save *) chore;
        _cleanup_(buffer_done) Buffer document = BUFFER_INIT(0);
        int r = make_document(&save->view, save->python_version, &document);

        return r < 0 ? r : write_file(save, buffer_slice(&document));
}

static Save *save_free(Save *save) {
        if (!save)
                return NULL;
        kit_close_fd(&save->view.fd);
        kit_close_fd(&save->newer.fd);
        free(save);
        return NULL;
}
DEFINE_CLEANUP(Save, save_free)

static void save_done(Chore *chore, int result) {
        Save *save = (Save *) chore;
        Save **link = &save->notebooks->saves;

        if (result < 0)
                log_warning("the notebook of %s cannot be saved: %s", save->id, strerror(-result));
        if (save->has_newer) {
                close_fd(&save->view.fd);
                save->view = save->newer;
                save->newer = (CellsView){.fd = -1};
                save->has_newer = false;
                if (chores_add(save->notebooks->chores, chore) == 0)
                        return;
                log_warning("the notebook of %s is not saved now: too much else is to be done",
                            save->id);
        }
        while (*link != save)
                link = &(*link)->next;
        *link = save->next;
        (void) save_free(save);
}

static Save *find_save(const Notebooks *notebooks, const char *id) {
        for (Save *save = notebooks->saves; save; save = save->next) {
                if (strcmp(save->id, id) == 0)
                        return save;
        }
        return NULL;
}

static int start_save(Notebooks *notebooks, const Session *session, const char *id) {
        _cleanup_(save_freep) Save *save = malloc(sizeof(*save));
        int r;

        if (!save)
                return raise_error(-ENOMEM, "a session's notebook");
        *save = (Save){
                .chore = {.work = save_work, .done = save_done},
                .notebooks = notebooks,
                .view.fd = -1,
                .newer.fd = -1,
        };
        (void) snprintf(save->id, sizeof(save->id), "%s", id);
        find_python_version(notebooks, session, save->python_version);
        r = notebook_view(session, &save->view);
        if (r == 0)
                r = chores_add(notebooks->chores, &save->chore);
        if (r < 0)
                return r;
        save->next = notebooks->saves;
        notebooks->saves = take_ptr(save);
        return 0;
}

void notebook_save(Notebooks *notebooks, const Session *session) {
        SessionInfo info;
        Save *save;
        int r;

        session_inspect(session, &info);
        save = find_save(notebooks, info.id);
        if (save) {
                close_fd(&save->newer.fd);
                r = notebook_view(session, &save->newer);
                save->has_newer = r == 0;
        } else {
                r = start_save(notebooks, session, info.id);
        }
        if (r < 0)
                log_warning("the notebook of %s is not saved now: %s", info.id, strerror(-r));
}
