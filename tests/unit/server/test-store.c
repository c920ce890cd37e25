/* The store of uploaded data: what it keeps, what it refuses, and what it says of a file that it
 * cannot use. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kit/log.h"
#include "server/store.h"

#define KEYS_MAX  3
#define BYTES_MAX 1000

typedef struct Place {
        char top[64];
        char directory[80]; /* does not exist at first */
        char file[128];
} Place;

static int set_up(void **state) {
        Place *place = calloc(1, sizeof(*place));

        (void) strcpy(place->top, "/tmp/hatchery-store-XXXXXX");
        assert_non_null(mkdtemp(place->top));
        (void) snprintf(place->directory, sizeof(place->directory), "%s/a/b", place->top);
        (void) snprintf(place->file, sizeof(place->file), "%s/store.sqlite3", place->directory);
        *state = place;
        return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
        return remove(path);
}

static int tear_down(void **state) {
        Place *place = *state;

        (void) nftw(place->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(place);
        return 0;
}

static Store *open_store(const Place *place) {
        Store *store = NULL;

        assert_int_equal(store_open(place->directory, KEYS_MAX, BYTES_MAX, &store), 0);
        return store;
}

static int put(Store *store, const char *key, const char *value) {
        return store_put(store, slice_of_text(key), slice_of_text(value));
}

static void assert_value(Store *store, const char *key, const char *value) {
        _cleanup_(buffer_done) Buffer out = {0};

        assert_int_equal(store_get(store, slice_of_text(key), &out), STORE_OK);
        assert_int_equal(out.size, strlen(value));
        assert_memory_equal(out.data, value, out.size);
}

static void assert_absent(Store *store, const char *key) {
        Buffer out = {0};

        assert_int_equal(store_get(store, slice_of_text(key), &out), STORE_E_NOT_FOUND);
        assert_int_equal(out.size, 0);
        buffer_done(&out);
}

static void test_values_come_back(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        static const uint8_t odd_key[] = {'k', 0xff, '\'', '%'};
        _cleanup_(buffer_done) Buffer out = {0};

        assert_absent(store, "a");
        assert_int_equal(put(store, "a", "{\"x\": 1}"), STORE_OK);
        assert_int_equal(put(store, "b", ""), STORE_OK);
        assert_value(store, "a", "{\"x\": 1}");
        assert_value(store, "b", "");
        assert_absent(store, "A");
        assert_int_equal(put(store, "a", "{}"), STORE_OK);
        assert_value(store, "a", "{}");
        assert_int_equal(
                store_put(store, slice_of(odd_key, sizeof(odd_key)), SLICE_LITERAL("\0\xff")),
                STORE_OK);
        assert_int_equal(store_get(store, slice_of(odd_key, sizeof(odd_key)), &out), STORE_OK);
        assert_int_equal(out.size, 2);
        assert_int_equal(store_clear(store), STORE_OK);
        assert_absent(store, "a");
        assert_absent(store, "b");
}

static void test_values_outlive_the_process(void **state) {
        Store *store = open_store(*state);

        assert_int_equal(put(store, "a", "1"), STORE_OK);
        store = store_free(store);
        store = open_store(*state);
        assert_value(store, "a", "1");
        /* What was there before counts too. */
        assert_int_equal(put(store, "b", "1"), STORE_OK);
        assert_int_equal(put(store, "c", "1"), STORE_OK);
        assert_int_equal(put(store, "d", "1"), STORE_E_TOO_MANY_KEYS);
        store_free(store);
}

static void test_bounds(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        char value[BYTES_MAX + 1] = "";

        for (int i = 0; i < KEYS_MAX; i++)
                assert_int_equal(put(store, (const char[]){(char) ('a' + i), '\0'}, "1"), STORE_OK);
        assert_int_equal(put(store, "d", "1"), STORE_E_TOO_MANY_KEYS);
        assert_absent(store, "d");
        assert_int_equal(put(store, "a", "2"), STORE_OK);

        /* Three keys and the two other values take five bytes. */
        memset(value, 'x', BYTES_MAX - 4);
        assert_int_equal(put(store, "a", value), STORE_E_TOO_MANY_BYTES);
        assert_value(store, "a", "2");
        value[BYTES_MAX - 5] = '\0';
        assert_int_equal(put(store, "a", value), STORE_OK);
        assert_int_equal(put(store, "b", "11"), STORE_E_TOO_MANY_BYTES);
        assert_int_equal(put(store, "a", value), STORE_OK);
        assert_int_equal(put(store, "a", "1"), STORE_OK);
        assert_int_equal(put(store, "b", "11"), STORE_OK);
        assert_int_equal(store_clear(store), STORE_OK);
        assert_int_equal(put(store, "d", "1"), STORE_OK);
}

static void test_what_it_makes_is_private(void **state) {
        const Place *place = *state;
        _cleanup_(store_freep) Store *store = NULL;
        mode_t mask = umask(0);
        struct stat info;

        store = open_store(place);
        (void) umask(mask);
        assert_int_equal(stat(place->directory, &info), 0);
        /* Others may pass, and list or make nothing. */
        assert_int_equal(info.st_mode & 0777, 0711);
        assert_int_equal(stat(place->file, &info), 0);
        assert_int_equal(info.st_mode & 0077, 0);
}

static void overwrite(const char *path, off_t offset, size_t size) {
        char junk[64];
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        memset(junk, 'Z', sizeof(junk));
        assert_true(fd >= 0);
        for (size_t i = 0; i < size; i += sizeof(junk))
                assert_int_equal(pwrite(fd, junk, sizeof(junk), offset + (off_t) i), sizeof(junk));
        (void) close(fd);
}

static void assert_cannot_open(const Place *place, int error) {
        Store *store = NULL;

        assert_int_equal(store_open(place->directory, KEYS_MAX, BYTES_MAX, &store), error);
        assert_null(store);
}

static void test_a_file_that_is_no_database(void **state) {
        const Place *place = *state;

        store_free(open_store(place));
        overwrite(place->file, 0, 8192);
        assert_cannot_open(place, -EUCLEAN);
}

static void test_a_damaged_file(void **state) {
        const Place *place = *state;
        Store *store = NULL;

        assert_int_equal(store_open(place->directory, 1000, 1 << 20, &store), 0);
        for (int i = 0; i < 500; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "key%d", i);
                assert_int_equal(put(store, key, "some value that takes a little room"), STORE_OK);
        }
        store = store_free(store);
        overwrite(place->file, 8192, 8192);
        assert_cannot_open(place, -EUCLEAN);
}

static void run_sql(const Place *place, const char *sql) {
        sqlite3 *database;

        assert_int_equal(sqlite3_open(place->file, &database), SQLITE_OK);
        assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void test_a_newer_file(void **state) {
        const Place *place = *state;

        store_free(open_store(place));
        run_sql(place, "PRAGMA user_version = 2");
        assert_cannot_open(place, -EPROTO);
}

static void test_a_file_of_another_program(void **state) {
        const Place *place = *state;

        store_free(open_store(place));
        run_sql(place, "PRAGMA user_version = 0");
        assert_cannot_open(place, -EPROTO);
}

static void test_a_place_that_is_no_folder(void **state) {
        Place *place = *state;

        overwrite((snprintf(place->file, sizeof(place->file), "%s/a", place->top), place->file), 0,
                  64);
        assert_cannot_open(place, -ENOTDIR);
}

static void test_a_file_in_use(void **state) {
        const Place *place = *state;
        _cleanup_(store_freep) Store *store = open_store(place);
        sqlite3 *other;

        assert_int_equal(put(store, "a", "1"), STORE_OK);
        assert_int_equal(sqlite3_open(place->file, &other), SQLITE_OK);
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(put(store, "a", "2"), -EBUSY);
        assert_value(store, "a", "1");
        assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(put(store, "a", "2"), STORE_OK);
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_values_come_back),
                TEST(test_values_outlive_the_process),
                TEST(test_bounds),
                TEST(test_what_it_makes_is_private),
                TEST(test_a_file_that_is_no_database),
                TEST(test_a_damaged_file),
                TEST(test_a_newer_file),
                TEST(test_a_file_of_another_program),
                TEST(test_a_place_that_is_no_folder),
                TEST(test_a_file_in_use),
        };

        return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
