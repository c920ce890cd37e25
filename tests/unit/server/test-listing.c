/* What is listed of a folder is what ls itself prints of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "server/listing.h"
#include "tests/unit/skip.h"

typedef struct Place {
        char top[64];
        int fd;
} Place;

static int set_up(void **state) {
        Place *place = calloc(1, sizeof(*place));

        (void) strcpy(place->top, "/tmp/hatchery-listing-XXXXXX");
        assert_non_null(mkdtemp(place->top));
        place->fd = open(place->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(place->fd >= 0);
        *state = place;
        return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
        return remove(path);
}

static int tear_down(void **state) {
        Place *place = *state;

        (void) close(place->fd);
        (void) nftw(place->top, remove_one, 128, FTW_DEPTH | FTW_PHYS);
        free(place);
        return 0;
}

static void make_file(const Place *place, const char *name, mode_t mode, size_t size) {
        int fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        _autofree_ char *content = calloc(1, size + 1);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, size), (ssize_t) size);
        assert_int_equal(fchmod(fd, mode), 0);
        (void) close(fd);
}

static void make_folder(const Place *place, const char *name, mode_t mode) {
        assert_int_equal(mkdirat(place->fd, name, 0700), 0);
        assert_int_equal(fchmodat(place->fd, name, mode, 0), 0);
}

static void date(const Place *place, const char *name, time_t when) {
        const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};

        assert_int_equal(utimensat(place->fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static ListingOptions options_now(void) {
        ListingOptions options = {.own_uid = (uid_t) -1, .own_gid = (gid_t) -1};

        (void) clock_gettime(CLOCK_REALTIME, &options.now);
        return options;
}

static char *listed(const Place *place, const ListingOptions *options) {
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(listing_write(place->fd, options, &out), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        return (char *) out.data;
}

/* What ls prints, without the heading of the folder itself. */
static char *ls(const Place *place) {
        char command[160];
        char *text = NULL;
        size_t size = 0;
        FILE *pipe, *out;
        int c;

        (void) snprintf(command, sizeof(command), "cd %s && LC_ALL=C exec ls -lR 2>/dev/null",
                        place->top);
        pipe = popen(command, "r"); /* NOLINT: the command is ours */
        out = open_memstream(&text, &size);
        assert_non_null(pipe);
        assert_non_null(out);
        while ((c = fgetc(pipe)) != EOF)
                (void) fputc(c, out);
        (void) pclose(pipe);
        (void) fclose(out);
        assert_memory_equal(text, ".:\n", 3);
        memmove(text, text + 3, size - 2);
        return text;
}

static void check_like_ls(const Place *place) {
        ListingOptions options = options_now();
        _autofree_ char *mine = listed(place, &options);
        _autofree_ char *theirs = ls(place);

        assert_string_equal(mine, theirs);
}

static void test_empty(void **state) {
        ListingOptions options = options_now();
        _autofree_ char *mine = listed(*state, &options);

        assert_string_equal(mine, "total 0\n");
        check_like_ls(*state);
}

static void test_kinds_and_modes(void **state) {
        const Place *place = *state;

        make_file(place, "a", 0644, 1);
        make_file(place, "sparse", 0600, 0);
        make_file(place, "big", 0751, 123456);
        make_file(place, "odd-bits", 07000, 5000);
        make_file(place, "more-odd-bits", 07777, 1);
        make_file(place, ".hidden", 0644, 100000);
        make_folder(place, "sticky", 01777);
        assert_int_equal(mkfifoat(place->fd, "pipe", 0640), 0);
        assert_int_equal(symlinkat("/etc/passwd", place->fd, "link"), 0);
        assert_int_equal(symlinkat("nowhere", place->fd, "dangling"), 0);
        assert_int_equal(linkat(place->fd, "a", place->fd, "second-name-of-a", 0), 0);
        check_like_ls(place);
}

static void test_devices(void **state) {
        const Place *place = *state;

        if (mknodat(place->fd, "null", S_IFCHR | 0666, makedev(1, 3)) < 0)
                skip_because("device files cannot be made here");
        assert_int_equal(mknodat(place->fd, "disk", S_IFBLK | 0600, makedev(259, 12345)), 0);
        make_file(place, "small", 0644, 3);
        check_like_ls(place);
        make_file(place, "large", 0644, 12345678);
        check_like_ls(place);
}

static void test_folders(void **state) {
        const Place *place = *state;

        for (const char *const *name = (const char *const[]){"b", "b/c", "b/c/d", "b-", "b.x", "B",
                                                             "empty", "b/.hidden", NULL};
             *name; name++)
                make_folder(place, *name, 0755);
        make_file(place, "b/c/file", 0644, 10);
        make_file(place, "b-/file", 0644, 10000);
        make_file(place, "b/.hidden/never-seen", 0644, 10);
        assert_int_equal(symlinkat("b", place->fd, "link-to-a-folder"), 0);
        check_like_ls(place);
}

static void test_odd_names(void **state) {
        const Place *place = *state;

        make_file(place, "with space", 0644, 1);
        make_file(place, "with\nline break", 0644, 1);
        make_file(place, "\303\244\342\202\254", 0644, 1);
        make_file(place, "\377\200", 0644, 1);
        make_file(place, "\033[31mred", 0644, 1);
        make_file(place, "'quoted\"\\", 0644, 1);
        make_file(place, "-l", 0644, 1);
        make_folder(place, "a\tfolder: ", 0755);
        make_file(place, "a\tfolder: /file", 0644, 1);
        check_like_ls(place);
}

static void test_owners(void **state) {
        const Place *place = *state;

        make_file(place, "mine", 0644, 1);
        make_file(place, "nobody's", 0644, 1);
        make_file(place, "a number's", 0644, 1);
        if (fchownat(place->fd, "nobody's", 65534, 65534, 0) < 0)
                skip_because("files cannot be given away here");
        assert_int_equal(fchownat(place->fd, "a number's", 58000, 1234567, 0), 0);
        check_like_ls(place);
}

static void test_dates(void **state) {
        const Place *place = *state;
        time_t now = time(NULL);

        make_file(place, "now", 0644, 1);
        make_file(place, "yesterday", 0644, 1);
        make_file(place, "five-months", 0644, 1);
        make_file(place, "just-recent", 0644, 1);
        make_file(place, "just-old", 0644, 1);
        make_file(place, "future", 0644, 1);
        make_file(place, "first", 0644, 1);
        make_file(place, "before-the-first", 0644, 1);
        make_file(place, "far", 0644, 1);
        date(place, "yesterday", now - 86400);
        date(place, "five-months", now - 150L * 86400);
        date(place, "just-recent", now - 31556952 / 2 + 3600);
        date(place, "just-old", now - 31556952 / 2 - 3600);
        date(place, "future", now + 86400);
        date(place, "first", 0);
        date(place, "before-the-first", -1000000);
        date(place, "far", 8000000000);
        check_like_ls(place);
}

static void test_own_name(void **state) {
        const Place *place = *state;
        ListingOptions options = options_now();
        _autofree_ char *mine = NULL;

        make_file(place, "file", 0640, 3);
        date(place, "file", 1000033200); /* 11:00 UTC: of one day in nearly all time zones */
        options.own_uid = geteuid();
        options.own_gid = getegid();
        options.own_name = "runner";
        mine = listed(place, &options);
        assert_non_null(strstr(mine, "-rw-r----- 1 runner runner 3 Sep "));
        assert_non_null(strstr(mine, " 3 Sep  9  2001 file\n"));
}

static void test_too_many(void **state) {
        const Place *place = *state;
        ListingOptions options = options_now();
        _autofree_ char *mine = NULL;
        size_t lines = 0;
        char name[32];

        /* Names of one file: ext4 may be slow to find an inode for each. */
        make_file(place, "file", 0644, 0);
        for (int i = 0; i < LISTING_ENTRIES_MAX + 4; i++) {
                (void) snprintf(name, sizeof(name), "%d", i);
                assert_int_equal(linkat(place->fd, "file", place->fd, name, 0), 0);
        }
        mine = listed(place, &options);
        for (const char *at = mine; *at; at++)
                lines += *at == '\n';
        assert_int_equal(lines, 1 + LISTING_ENTRIES_MAX + 1);
        assert_string_equal(mine + strlen(mine) - strlen(LISTING_CUT "\n"), LISTING_CUT "\n");
}

static void test_too_long(void **state) {
        const Place *place = *state;
        ListingOptions options = options_now();
        _autofree_ char *mine = NULL;
        char target[4000], name[32];

        memset(target, 'x', sizeof(target) - 1);
        target[sizeof(target) - 1] = '\0';
        for (int i = 0; i < 300; i++) {
                (void) snprintf(name, sizeof(name), "%d", i);
                assert_int_equal(symlinkat(target, place->fd, name), 0);
        }
        mine = listed(place, &options);
        assert_true(strlen(mine) < LISTING_BYTES_MAX + 8192);
        assert_non_null(strstr(mine, LISTING_CUT));
}

static void test_too_deep(void **state) {
        const Place *place = *state;
        ListingOptions options = options_now();
        _autofree_ char *mine = NULL;
        char path[4 * LISTING_DEPTH_MAX];
        size_t size = 0;

        for (int i = 0; i < LISTING_DEPTH_MAX + 3; i++) {
                size += (size_t) snprintf(path + size, sizeof(path) - size, i > 0 ? "/d" : "d");
                make_folder(place, path, 0755);
        }
        mine = listed(place, &options);
        assert_string_equal(mine + strlen(mine) - strlen(LISTING_CUT "\n"), LISTING_CUT "\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_kinds_and_modes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_devices, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_odd_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_owners, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_own_name, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_dates, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_long, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_deep, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
