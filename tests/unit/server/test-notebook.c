/* The files of notebooks: appended to while they are written anew, copied, saved through no link.
 * The session is one of this test's own: a folder and a number. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "jsontext/scan.h"
#include "kit/log.h"
#include "server/notebook.h"

#define BYTES_MAX 65536

/* ── What notebook.c asks of others ── */

struct Session {
        int folder_fd;
        unsigned member;
};

static Chores *chores;

int session_record_fd(const Session *session) {
        return session->folder_fd;
}

unsigned session_member(const Session *session) {
        return session->member;
}

void session_inspect(const Session *session, SessionInfo *ret_info) {
        *ret_info = (SessionInfo){.id = "user", .template = "default"};
}

int pool_find_template(const Pool *pool, Slice name) {
        return 0;
}

void pool_template_state(const Pool *pool, unsigned index, TemplateState *ret_state) {
        *ret_state = (TemplateState){.about = "{\"python\": \"3.11.2 (main)\", \"packages\": {}}"};
}

Chores *pool_chores(const Pool *pool) {
        return chores;
}

/* As in server/respond.h, which brings libh2o. */
void make_run_id(char *ret_id);

void make_run_id(char *ret_id) {
        static unsigned number;

        (void) sprintf(ret_id, "run_%u_of_ours", ++number);
}

/* ── A place ── */

typedef struct Place {
        char top[64], notebooks[96];
        Session one, other;
        Notebooks *of;
} Place;

static int set_up(void **state) {
        Place *place = calloc(1, sizeof(*place));

        if (!place)
                return -1;
        log_set_level(LOG_LEVEL_ERROR);
        (void) strcpy(place->top, "/tmp/hatchery-notebook-XXXXXX");
        assert_non_null(mkdtemp(place->top));
        (void) snprintf(place->notebooks, sizeof(place->notebooks), "%s/notebooks", place->top);
        place->one = (Session){.folder_fd = open(place->top, O_DIRECTORY | O_CLOEXEC), .member = 0};
        place->other = (Session){.folder_fd = place->one.folder_fd, .member = 1};
        assert_int_equal(chores_new(2, 64, &chores), 0);
        assert_int_equal(notebooks_new(&(NotebookConfig){.bytes_max = BYTES_MAX,
                                                         .directory = place->notebooks},
                                       &place->of),
                         0);
        *state = place;
        return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
        return remove(path);
}

static int tear_down(void **state) {
        Place *place = *state;

        chores = chores_free(chores);
        place->of = notebooks_free(place->of);
        (void) close(place->one.folder_fd);
        (void) nftw(place->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(place);
        return 0;
}

static void add(Place *place, const Session *session, const char *source, size_t output_size) {
        static unsigned number;
        char *output = malloc(output_size + 1), cell_id[32];
        RunResult result = {.status = RUN_OK, .session = {.number = ++number}};

        memset(output, 'x', output_size);
        result.output[RUN_STDOUT] = (RunOutput){.head = slice_of(output, output_size)};
        (void) snprintf(cell_id, sizeof(cell_id), "run_%u", number);
        notebook_add_run(place->of, session, cell_id, slice_of_text(source), &result);
        free(output);
}

/* Waits for one chore or more to end. */
static void dispatch(void) {
        struct pollfd readable = {.fd = chores_fd(chores), .events = POLLIN};

        assert_int_equal(poll(&readable, 1, 60000), 1);
        chores_dispatch(chores);
}

static char *read_path(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat status;
        char *text;

        if (fd < 0)
                fail_msg("%s: %s", path, strerror(errno));
        assert_int_equal(fstat(fd, &status), 0);
        text = calloc(1, (size_t) status.st_size + 1);
        assert_int_equal(read(fd, text, (size_t) status.st_size), status.st_size);
        (void) close(fd);
        return text;
}

static char *read_cells(const Place *place, unsigned member) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%u.cells", place->top, member);
        return read_path(path);
}

static bool file_exists(const Place *place, const char *name) {
        return faccessat(place->one.folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t count(const char *text, const char *part) {
        size_t n = 0;

        for (; (text = strstr(text, part)); text++)
                n++;
        return n;
}

/* ── Cells ── */

static void test_cells_are_appended(void **state) {
        Place *place = *state;
        struct stat status;
        char *text;

        add(place, &place->one, "a = 1", 3);
        notebook_add_note(place->of, &place->one, "*Reset.*");
        add(place, &place->one, "b = 2", 0);
        add(place, &place->other, "c = 3", 0);
        text = read_cells(place, 0);
        assert_int_equal(count(text, "\"cell_type\":\"code\""), 2);
        assert_true(strstr(text, "a = 1") < strstr(text, "*Reset.*"));
        assert_true(strstr(text, "*Reset.*") < strstr(text, "b = 2"));
        assert_null(strstr(text, "c = 3"));
        free(text);
        assert_int_equal(fstatat(place->one.folder_fd, "0.cells", &status, 0), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_trimming_keeps_what_comes_meanwhile(void **state) {
        Place *place = *state;
        char *text;

        for (int i = 0; i < 8; i++)
                add(place, &place->one, "old", 12000);
        /* Past the bound: a chore has begun, and has not been heard. */
        add(place, &place->one, "meanwhile", 5);
        dispatch();
        text = read_cells(place, 0);
        assert_true(strlen(text) < BYTES_MAX);
        assert_int_equal(count(text, "\"source\":\"old\""), 8);
        assert_int_equal(count(text, "\"source\":\"meanwhile\""), 1);
        assert_true(count(text, "outputs are left out") >= 2);
        free(text);
        assert_false(file_exists(place, "0.cells.new"));
        add(place, &place->one, "after", 5);
        text = read_cells(place, 0);
        assert_int_equal(count(text, "\"source\":\"after\""), 1);
        free(text);
}

static void test_trimming_goes_on_while_it_is_needed(void **state) {
        Place *place = *state;
        char *text;

        for (int i = 0; i < 10; i++)
                add(place, &place->one, "old", 12000);
        dispatch(); /* of the first six, with the other four behind them */
        dispatch();
        text = read_cells(place, 0);
        assert_true(strlen(text) < BYTES_MAX);
        assert_int_equal(count(text, "\"source\":\"old\""), 10);
        free(text);
}

static void test_a_file_that_cannot_be_trimmed_stays_bounded(void **state) {
        Place *place = *state;
        char *text;

        /* In the way of the new file. */
        assert_int_equal(mkdirat(place->one.folder_fd, "0.cells.new", 0700), 0);
        for (int i = 0; i < 1600; i++)
                add(place, &place->one, "much", 12000);
        dispatch();
        text = read_cells(place, 0);
        assert_in_range(strlen(text), 16 << 20, (16 << 20) + 2 * BYTES_MAX);
        free(text);
        assert_int_equal(unlinkat(place->one.folder_fd, "0.cells.new", AT_REMOVEDIR), 0);
}

static void test_a_session_that_has_ended_gets_no_file(void **state) {
        Place *place = *state;

        for (int i = 0; i < 8; i++)
                add(place, &place->one, "old", 12000);
        assert_int_equal(unlinkat(place->one.folder_fd, "0.cells", 0), 0);
        dispatch();
        assert_false(file_exists(place, "0.cells"));
        assert_false(file_exists(place, "0.cells.new"));
}

/* ── Copies ── */

static void note_result(void *data, int r) {
        *(int *) data = r;
}

static void test_a_copy_begins_with_the_cells_of_its_source(void **state) {
        Place *place = *state;
        int result = 1;
        char *text;

        add(place, &place->one, "first", 0);
        assert_int_equal(notebook_copy(place->of, &place->one, &place->other, note_result, &result),
                         0);
        add(place, &place->one, "of the source", 0);
        add(place, &place->other, "of the copy", 0);
        dispatch();
        assert_int_equal(result, 0);
        text = read_cells(place, 1);
        assert_true(strstr(text, "first") && strstr(text, "first") < strstr(text, "of the copy"));
        assert_null(strstr(text, "of the source"));
        free(text);
}

static void test_a_copy_of_nothing(void **state) {
        Place *place = *state;
        int result = 1;

        assert_int_equal(notebook_copy(place->of, &place->one, &place->other, note_result, &result),
                         0);
        dispatch();
        assert_int_equal(result, 0);
}

/* ── Reading and saving ── */

static void keep_document(void *data, int r, Buffer *document) {
        assert_int_equal(r, 0);
        *(Buffer *) data = *document;
        *document = BUFFER_INIT(0);
}

static void test_reading(void **state) {
        Place *place = *state;
        Buffer document = BUFFER_INIT(0);

        add(place, &place->one, "first", 0);
        assert_int_equal(notebook_read(place->of, &place->one, keep_document, &document), 0);
        add(place, &place->one, "later", 0);
        dispatch();
        assert_true(json_is(buffer_slice(&document), JSON_OBJECT, 0));
        assert_int_equal(buffer_append(&document, "", 1), 0);
        assert_non_null(strstr((char *) document.data, "first"));
        assert_null(strstr((char *) document.data, "later"));
        assert_non_null(strstr((char *) document.data, "\"version\":\"3.11.2\""));
        buffer_done(&document);
}

static void saved_path(const Place *place, char path[NOTEBOOK_PATH_MAX]) {
        notebook_path(place->of, SLICE_LITERAL("user"), path, NOTEBOOK_PATH_MAX);
}

static void test_saving(void **state) {
        Place *place = *state;
        char path[NOTEBOOK_PATH_MAX], folder[128], *text;
        struct dirent **entries;

        saved_path(place, path);
        assert_string_equal(path + strlen(place->top), "/notebooks/user/notebook_user.ipynb");
        notebook_save(place->of, &place->one);
        dispatch();
        text = read_path(path);
        assert_non_null(strstr(text, "\"cells\":[]"));
        free(text);
        /* Three saves, of which the second never has to begin. */
        add(place, &place->one, "first", 0);
        notebook_save(place->of, &place->one);
        add(place, &place->one, "second", 0);
        notebook_save(place->of, &place->one);
        add(place, &place->one, "third", 0);
        notebook_save(place->of, &place->one);
        dispatch();
        dispatch();
        text = read_path(path);
        assert_non_null(strstr(text, "third"));
        assert_true(json_is(slice_of_text(text), JSON_OBJECT, 0));
        free(text);
        (void) snprintf(folder, sizeof(folder), "%s/user", place->notebooks);
        assert_int_equal(scandir(folder, &entries, NULL, NULL), 3); /* with . and .. */
        for (int i = 0; i < 3; i++)
                free(entries[i]);
        free(entries);
}

/* Somebody else may write to the directory of notebooks. */
static void test_saving_follows_no_link(void **state) {
        Place *place = *state;
        char path[NOTEBOOK_PATH_MAX], target[96], link[128];
        struct stat status;

        (void) snprintf(target, sizeof(target), "%s/target", place->top);
        (void) snprintf(link, sizeof(link), "%s/user", place->notebooks);
        assert_int_equal(mkdir(place->notebooks, 0755), 0);
        assert_int_equal(mkdir(target, 0755), 0);
        assert_int_equal(symlink(target, link), 0);
        notebook_save(place->of, &place->one);
        dispatch();
        assert_int_equal(rmdir(target), 0); /* still empty */
        assert_int_equal(unlink(link), 0);

        assert_int_equal(mkdir(link, 0755), 0);
        (void) snprintf(target, sizeof(target), "%s/victim", place->top);
        saved_path(place, path);
        assert_int_equal(symlink(target, path), 0);
        (void) snprintf(link, sizeof(link), "%s/user/.notebook_user.ipynb.new", place->notebooks);
        assert_int_equal(symlink(target, link), 0);
        notebook_save(place->of, &place->one);
        dispatch();
        assert_false(file_exists(place, "victim"));
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISREG(status.st_mode));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_cells_are_appended),
                TEST(test_trimming_keeps_what_comes_meanwhile),
                TEST(test_trimming_goes_on_while_it_is_needed),
                TEST(test_a_file_that_cannot_be_trimmed_stays_bounded),
                TEST(test_a_session_that_has_ended_gets_no_file),
                TEST(test_a_copy_begins_with_the_cells_of_its_source),
                TEST(test_a_copy_of_nothing),
                TEST(test_reading),
                TEST(test_saving),
                TEST(test_saving_follows_no_link),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
