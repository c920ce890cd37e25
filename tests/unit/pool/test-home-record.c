/* Records of sessions: what is written is read; what is garbled is refused, whatever it is. */

#include "pool/home_record.h"

#include <time.h>

#include "disk.h"

static Folder folder;
static Home home;

static int set_up(void **state) {
        folder_make(&folder);
        home = HOME_NONE;
        (void) snprintf(home.name, sizeof(home.name), "abcdefghijklmnop");
        home.directory_fd = fcntl(folder.fd, F_DUPFD_CLOEXEC, 3);
        return 0;
}

static int tear_down(void **state) {
        close_fd(&home.directory_fd);
        disk_remove(&folder);
        folder_remove(&folder);
        return 0;
}

static HomeRecord usual(void) {
        HomeRecord record = {
                .space = SESSION_JUPYTER,
                .id = "user 1 ü",
                .template = "default",
                .alias = "a b",
                .forgets = true,
                .created_s = 1700000000,
                .idle_ms = 3600000,
                .life_cpu_ms = UINT64_MAX,
                .runs = 12,
                .sequence = 7,
        };

        for (int i = 0; i < _LIMITS; i++)
                record.limits.of[i] = (uint64_t) 1000 + i;
        return record;
}

static void check_same(const HomeRecord *a, const HomeRecord *b) {
        assert_int_equal(a->space, b->space);
        assert_string_equal(a->id, b->id);
        assert_string_equal(a->template, b->template);
        assert_string_equal(a->alias, b->alias);
        assert_string_equal(a->forked_from, b->forked_from);
        assert_int_equal(a->forgets, b->forgets);
        assert_true(a->created_s == b->created_s && a->idle_ms == b->idle_ms &&
                    a->life_cpu_ms == b->life_cpu_ms && a->runs == b->runs &&
                    a->sequence == b->sequence);
        assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
}

static void test_what_is_written_is_read(void **state) {
        HomeRecord record = usual(), found;
        struct stat status;

        for (SessionSpace space = 0; space < _SESSION_SPACES; space++) {
                record.space = space;
                record.forgets = !record.forgets;
                assert_int_equal(home_record_write(&home, 3, &record), 0);
                assert_int_equal(home_record_read(&home, 3, &found), 0);
                check_same(&record, &found);
        }
        memset(record.id, 0xc3, SESSION_ID_MAX);
        memset(record.alias, 'a', SESSION_ID_MAX);
        memset(record.forked_from, ' ', SESSION_ID_MAX);
        memset(record.template, 't', TEMPLATE_NAME_MAX);
        memset(record.limits.of, 0xff, sizeof(record.limits.of));
        record.created_s = record.idle_ms = record.runs = record.sequence = UINT64_MAX;
        assert_int_equal(home_record_write(&home, 3, &record), 0);
        assert_int_equal(home_record_read(&home, 3, &found), 0);
        check_same(&record, &found);
        assert_int_equal(fstatat(home.directory_fd, "3.session", &status, 0), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_int_equal(count_entries(home.directory_fd), 1);
        assert_int_equal(home_record_read(&home, 4, &found), -ENOENT);
}

static void test_the_time_of_use_is_the_files(void **state) {
        const struct timespec times[2] = {{1000, 0}, {1000, 0}};
        HomeRecord record = usual(), found;
        time_t now = time(NULL);

        assert_int_equal(home_record_write(&home, 0, &record), 0);
        assert_int_equal(utimensat(home.directory_fd, "0.session", times, 0), 0);
        assert_int_equal(home_record_read(&home, 0, &found), 0);
        assert_int_equal(found.used_s, 1000);
        home_record_touch(&home, 0, 13);
        assert_int_equal(home_record_read(&home, 0, &found), 0);
        assert_true(found.used_s + 1 >= (uint64_t) now);
        assert_int_equal(found.runs, 13);
        /* There may be none. */
        home_record_touch(&home, 9, 1);
        assert_int_equal(count_entries(home.directory_fd), 1);
}

static void test_what_does_not_fit_a_line_is_not_written(void **state) {
        HomeRecord record = usual();

        (void) snprintf(record.alias, sizeof(record.alias), "a\nforgets 1");
        assert_int_equal(home_record_write(&home, 0, &record), -EINVAL);
        record = usual();
        record.id[0] = '\0';
        assert_int_equal(home_record_write(&home, 0, &record), -EINVAL);
        assert_int_equal(count_entries(home.directory_fd), 0);
}

static size_t read_record(char *page, size_t size) {
        _autoclose_ int fd = openat(home.directory_fd, "0.session", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, page, size);

        assert_in_range(n, 100, size - 1);
        return (size_t) n;
}

/* Thousands of lines that tell of what is wanted. */
static void set_errors(bool on) {
        static int before = -1;

        if (!on) {
                int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

                before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
                assert_true(dup2(null_fd, STDERR_FILENO) >= 0);
                (void) close(null_fd);
        } else {
                assert_true(dup2(before, STDERR_FILENO) >= 0);
                close_fd(&before);
        }
}

/* A new file each time: ext4 writes out at once what takes the place of something (its option
 * auto_da_alloc), thousands of times a long wait for the disk. */
static void put_record(const char *page, size_t size) {
        (void) unlinkat(home.directory_fd, "0.session", 0);
        file_write(home.directory_fd, "0.session", page, size);
}

/* Every beginning of a record, every line left out or said twice. */
static void test_part_of_a_record(void **state) {
        HomeRecord record = usual(), found;
        char page[4096], other[4096];
        size_t size;

        assert_int_equal(home_record_write(&home, 0, &record), 0);
        size = read_record(page, sizeof(page));
        set_errors(false);
        for (size_t n = 0; n < size; n++) {
                put_record(page, n);
                assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
        }
        for (size_t from = 0; from < size;) {
                size_t line = (size_t) ((char *) memchr(page + from, '\n', size - from) - page) +
                              1 - from;

                memcpy(other, page, from);
                memcpy(other + from, page + from + line, size - from - line);
                put_record(other, size - line);
                assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
                memcpy(other, page, from + line);
                memcpy(other + from + line, page + from, size - from);
                put_record(other, size + line);
                assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
                from += line;
        }
        set_errors(true);
        put_record(page, size);
        assert_int_equal(home_record_read(&home, 0, &found), 0);
}

/* Bytes changed at random: it is refused, or it is a record that is written the same way. */
static void test_garbled_records(void **state) {
        Dice dice = {20240229};
        HomeRecord record = usual(), found, again;
        char page[4096], other[4096];
        size_t size, n_read = 0;

        assert_int_equal(home_record_write(&home, 0, &record), 0);
        size = read_record(page, sizeof(page));
        set_errors(false);
        for (int i = 0; i < 20000; i++) {
                size_t n = size;

                memcpy(other, page, size);
                for (size_t change = dice_below(&dice, 3) + 1; change > 0; change--)
                        other[dice_below(&dice, size)] = (char) dice_below(&dice, 256);
                if (dice_below(&dice, 4) == 0)
                        n = dice_below(&dice, size);
                put_record(other, n);
                if (home_record_read(&home, 0, &found) < 0)
                        continue;
                n_read++;
                assert_int_equal(home_record_write(&home, 1, &found), 0);
                assert_int_equal(home_record_read(&home, 1, &again), 0);
                check_same(&found, &again);
        }
        set_errors(true);
        /* A letter of the id, a digit of a number. */
        assert_true(n_read > 100);
}

static void test_values_that_are_none(void **state) {
        static const char *const bad[][2] = {
                {"runs 00000000000000000012\n", "runs \n"},
                {"runs 00000000000000000012\n", "runs\n"},
                {"runs 00000000000000000012\n", "runs 012\n"},
                {"runs 00000000000000000012\n", "runs -1\n"},
                {"runs 00000000000000000012\n", "runs +1\n"},
                {"runs 00000000000000000012\n", "runs 1 \n"},
                {"runs 00000000000000000012\n", "runs 18446744073709551616\n"},
                {"runs 00000000000000000012\n", "runs 99999999999999999999\n"},
                {"forgets 1\n", "forgets 2\n"},
                {"space jupyter\n", "space Jupyter\n"},
                {"space jupyter\n", "space \n"},
                {"id user 1", "id \n"},
                {"alias a b\n", "alias a\tb\n"},
                {"session 1\n", "session 2\n"},
                {"template default\n", "template \n"},
        };
        HomeRecord record = usual(), found;
        char page[4096], other[4200];
        size_t size;

        assert_int_equal(home_record_write(&home, 0, &record), 0);
        size = read_record(page, sizeof(page));
        page[size] = '\0';
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                char *at = strstr(page, bad[i][0]);
                int n;

                assert_non_null(at);
                n = snprintf(other, sizeof(other), "%.*s%s%s", (int) (at - page), page, bad[i][1],
                             at + strlen(bad[i][0]));
                file_write(home.directory_fd, "0.session", other, (size_t) n);
                assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
        }
        /* An id that is too long; more bytes than a record may have. */
        memset(other, 'x', sizeof(other));
        memcpy(other, page, strcspn(page, "u") + 1);
        file_write(home.directory_fd, "0.session", other, sizeof(other));
        assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
}

static void test_what_is_no_file(void **state) {
        HomeRecord found;

        folder_make_in(home.directory_fd, "0.session");
        assert_int_equal(home_record_read(&home, 0, &found), -EBADMSG);
        assert_int_equal(mkfifoat(home.directory_fd, "1.session", 0600), 0);
        assert_int_equal(home_record_read(&home, 1, &found), -EBADMSG);
        assert_int_equal(symlinkat("/etc/passwd", home.directory_fd, "2.session"), 0);
        assert_int_equal(home_record_read(&home, 2, &found), -EBADMSG);
}

typedef struct Found {
        unsigned members[8];
        size_t n, stop_at;
} Found;

static int on_found(void *data, unsigned member) {
        Found *found = data;

        found->members[found->n++] = member;
        return found->n == found->stop_at ? 5 : 0;
}

static void test_members_are_listed(void **state) {
        static const char *const names[] = {"10.session", "2.session",
                                            "0.session",  "1.session.new",
                                            "01.session", "1024.session",
                                            "-1.session", ".session",
                                            "3.sessions", "99999999999999999999.session",
                                            "5.cells"};
        Found found = {.n = 0};

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                file_make(home.directory_fd, names[i]);
        assert_int_equal(home_record_list(&home, on_found, &found), 0);
        assert_int_equal(found.n, 3);
        assert_int_equal(found.members[0], 0);
        assert_int_equal(found.members[1], 2);
        assert_int_equal(found.members[2], 10);
        found = (Found){.stop_at = 2};
        assert_int_equal(home_record_list(&home, on_found, &found), 5);
        assert_int_equal(found.n, 2);
}

/* The old one stays, whole. */
static void test_a_record_on_a_full_disk(void **state) {
        HomeRecord record = {.id = "a", .template = "default", .runs = 1}, found;
        _autofree_ char *bytes = calloc(1, 1 << 20);
        _autoclose_ int fd = -1;

        need_disk(&folder, "size=64k,nr_inodes=200");
        close_fd(&home.directory_fd);
        home.directory_fd = fcntl(folder.fd, F_DUPFD_CLOEXEC, 3);
        assert_int_equal(home_record_write(&home, 0, &record), 0);
        fd = openat(folder.fd, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        while (write(fd, bytes, 4096) > 0)
                ;
        record.runs = 2;
        assert_int_equal(home_record_write(&home, 0, &record), -ENOSPC);
        assert_int_equal(home_record_write(&home, 1, &record), -ENOSPC);
        assert_int_equal(home_record_read(&home, 0, &found), 0);
        assert_int_equal(found.runs, 1);
        assert_int_equal(home_record_read(&home, 1, &found), -ENOENT);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(home_record_write(&home, 0, &record), 0);
        assert_int_equal(home_record_read(&home, 0, &found), 0);
        assert_int_equal(found.runs, 2);
        assert_int_equal(count_entries(folder.fd), 2);
}

#define record_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                record_test(test_what_is_written_is_read),
                record_test(test_the_time_of_use_is_the_files),
                record_test(test_what_does_not_fit_a_line_is_not_written),
                record_test(test_part_of_a_record),
                record_test(test_garbled_records),
                record_test(test_values_that_are_none),
                record_test(test_what_is_no_file),
                record_test(test_members_are_listed),
                record_test(test_a_record_on_a_full_disk),
        };

        return cmocka_run_group_tests_name("home-record", tests, NULL, NULL);
}
