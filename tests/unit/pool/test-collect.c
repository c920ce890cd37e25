/* Files brought back from folders that whoever wrote them may have laid traps in. */

#include "pool/collect.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "folders.h"

#define FILES_MAX 20
#define BYTES_MAX 10000

static Folder folder;
static Collection collection;

static int set_up(void **state) {
        collection = (Collection){0};
        folder_make(&folder);
        return 0;
}

static int tear_down(void **state) {
        collection_done(&collection);
        folder_remove(&folder);
        return 0;
}

static void collect_up_to(const char *pattern, size_t files_max, size_t bytes_max) {
        Slice patterns[] = {slice_of_text(pattern)};

        collection_done(&collection);
        assert_int_equal(collect_files(folder.fd, patterns, 1, files_max, bytes_max, &collection),
                         0);
}

static void collect(const char *pattern) {
        collect_up_to(pattern, FILES_MAX, BYTES_MAX);
}

static void expect_paths(const char *wanted) {
        char found[4096] = "";

        for (size_t i = 0; i < collection.n_files; i++) {
                if (i > 0)
                        strcat(found, " ");
                strncat(found, (const char *) collection.files[i].path.data,
                        collection.files[i].path.size);
        }
        assert_string_equal(found, wanted);
}

static void expect_skipped(const char *reason) {
        assert_int_equal(collection.n_files, 1);
        assert_non_null(collection.files[0].skipped);
        assert_string_equal(collection.files[0].skipped, reason);
        assert_int_equal(collection.files[0].content.size, 0);
}

static void test_files_come_back_in_order(void **state) {
        _autoclose_ int below_fd = -1;

        file_write(folder.fd, "b.bin", "\0\1\2", 3);
        file_make(folder.fd, "a.txt");
        file_make(folder.fd, ".hidden");
        file_write(folder.fd, "empty", "", 0);
        folder_make_in(folder.fd, "below");
        below_fd = folder_open_in(folder.fd, "below");
        file_make(below_fd, "c.txt");

        collect("**");
        expect_paths(".hidden a.txt b.bin below/c.txt empty");
        assert_false(collection.truncated);
        assert_slice(collection.files[1].content, "a.txt");
        assert_int_equal(collection.files[2].size, 3);
        assert_memory_equal(collection.files[2].content.data, "\0\1\2", 3);
        assert_int_equal(collection.files[4].content.size, 0);
        assert_null(collection.files[4].skipped);

        collect("*");
        expect_paths(".hidden a.txt b.bin empty");
        collect("*.txt");
        expect_paths("a.txt");
        collect("nothing");
        expect_paths("");
        assert_false(collection.truncated);
}

static void test_several_patterns(void **state) {
        Slice patterns[] = {SLICE_LITERAL("a"), SLICE_LITERAL("?"), SLICE_LITERAL("cc")};

        file_make(folder.fd, "a");
        file_make(folder.fd, "b");
        file_make(folder.fd, "cc");
        file_make(folder.fd, "dd");
        assert_int_equal(collect_files(folder.fd, patterns, 3, FILES_MAX, BYTES_MAX, &collection),
                         0);
        expect_paths("a b cc");
}

static void test_a_symbolic_link_is_not_followed(void **state) {
        file_make(folder.fd, "target");
        assert_int_equal(symlinkat("/etc/passwd", folder.fd, "link"), 0);
        collect("link");
        expect_skipped("a symbolic link");
        assert_int_equal(symlinkat("target", folder.fd, "near"), 0);
        collect("near");
        expect_skipped("a symbolic link");
}

static void test_a_linked_folder_is_not_entered(void **state) {
        assert_int_equal(symlinkat("/etc", folder.fd, "etc"), 0);
        assert_int_equal(symlinkat(".", folder.fd, "loop"), 0);
        collect("**/passwd");
        expect_paths("");
        collect("**");
        expect_paths("etc loop");
        assert_string_equal(collection.files[0].skipped, "a symbolic link");
}

static void test_a_hard_link_is_not_read(void **state) {
        file_make(folder.fd, "one");
        assert_int_equal(linkat(folder.fd, "one", folder.fd, "two", 0), 0);
        collect("two");
        expect_skipped("has more than one link");
}

static void test_what_is_no_file_is_not_read(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _autoclose_ int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(mkfifoat(folder.fd, "fifo", 0600), 0);
        collect("fifo"); /* without a writer, this must not wait either */
        expect_skipped("not a regular file");

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/socket", folder.path);
        assert_int_equal(bind(socket_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        collect("socket");
        assert_int_equal(collection.n_files, 1);
        assert_non_null(collection.files[0].skipped);
}

static void test_an_unreadable_file_is_named(void **state) {
        file_make(folder.fd, "secret");
        assert_int_equal(fchmodat(folder.fd, "secret", 0, 0), 0);
        set_override(false);
        collect("secret");
        set_override(true);
        expect_skipped("cannot be opened");
}

static void test_names_are_bytes(void **state) {
        file_make(folder.fd, "\xff\xfe.png");
        file_make(folder.fd, "new\nline.png");
        collect("*.png");
        expect_paths("new\nline.png \xff\xfe.png");
}

static void test_depth_is_bounded(void **state) {
        make_deep(folder.fd, COLLECT_DEPTH_MAX + 5);
        collect_up_to("**/f", 1000, BYTES_MAX);
        assert_int_equal(collection.n_files, COLLECT_DEPTH_MAX + 1);
        assert_true(collection.truncated);
}

static void test_no_depth_is_too_much(void **state) {
        /* Deeper than any path name; removed again from the inside. */
        unsigned before = count_open_descriptors();
        _autoclose_ int fd = fcntl(folder.fd, F_DUPFD_CLOEXEC, 0);

        make_deep(folder.fd, 3000);
        collect("**");
        assert_true(collection.truncated);
        assert_int_equal(count_open_descriptors(), before + 1);

        for (unsigned i = 0; i < 3000; i++) {
                int next = folder_open_in(fd, "d");

                /* What stands in the folder's folder moves up, so that none is ever deep. */
                (void) unlinkat(fd, "f", 0);
                (void) renameat(fd, "d", fd, "old");
                (void) renameat(next, "d", fd, "d");
                (void) unlinkat(next, "f", 0);
                assert_int_equal(unlinkat(fd, "old", AT_REMOVEDIR), 0);
                (void) close(next);
        }
}

static void test_files_are_bounded(void **state) {
        for (char name[] = "a"; name[0] <= 'f'; name[0]++)
                file_make(folder.fd, name);
        collect_up_to("*", 6, BYTES_MAX);
        assert_int_equal(collection.n_files, 6);
        assert_false(collection.truncated);
        collect_up_to("*", 5, BYTES_MAX);
        expect_paths("a b c d e");
        assert_true(collection.truncated);
        collect_up_to("*", 0, BYTES_MAX);
        assert_int_equal(collection.n_files, 0);
        assert_true(collection.truncated);
}

static void test_bytes_are_bounded_together(void **state) {
        file_write(folder.fd, "a", "12345", 5);
        file_write(folder.fd, "b", "123456", 6);
        file_write(folder.fd, "c", "12345", 5);
        collect_up_to("*", FILES_MAX, 10);
        expect_paths("a b c");
        assert_null(collection.files[0].skipped);
        assert_string_equal(collection.files[1].skipped, "too large");
        assert_int_equal(collection.files[1].size, 6);
        assert_null(collection.files[2].skipped);
        assert_int_equal(collection.files[2].content.size, 5);
}

static void test_a_hole_of_a_petabyte_costs_nothing(void **state) {
        _autoclose_ int fd = openat(folder.fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (ftruncate(fd, (off_t) 1 << 50) < 0)
                assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
        collect_up_to("sparse", FILES_MAX, 1 << 20);
        expect_skipped("too large");
}

static void test_entries_are_bounded(void **state) {
        for (unsigned i = 0; i < COLLECT_ENTRIES_MAX + 10; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "f%u", i);
                assert_int_equal(mknodat(folder.fd, name, S_IFREG | 0600, 0), 0);
        }
        collect("nothing");
        assert_true(collection.truncated);
}

/* Long names, and patterns that can match in every place: minutes, if nobody counted. */
static void test_the_work_of_matching_is_bounded(void **state) {
        Slice patterns[64];
        char pattern[COLLECT_PATTERN_MAX], name[256] = "";

        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = i % 2 ? 'a' : '*';
        pattern[sizeof(pattern) - 1] = 'x'; /* which no name ends with */
        for (size_t i = 0; i < N_ELEMENTS(patterns); i++)
                patterns[i] = slice_of(pattern, sizeof(pattern));
        for (unsigned i = 0; i < 200; i++) {
                memset(name, 'a', 250);
                (void) snprintf(name + 240, 16, "b%u", i);
                assert_int_equal(mknodat(folder.fd, name, S_IFREG | 0600, 0), 0);
        }
        assert_true(200ULL * N_ELEMENTS(patterns) * sizeof(pattern) * 240 > COLLECT_STEPS_MAX);
        assert_int_equal(collect_files(folder.fd, patterns, N_ELEMENTS(patterns), FILES_MAX,
                                       BYTES_MAX, &collection),
                         0);
        assert_int_equal(collection.n_files, 0);
        assert_true(collection.truncated);
}

static void test_no_descriptor_is_left_open(void **state) {
        unsigned before = count_open_descriptors();

        file_make(folder.fd, "a");
        assert_int_equal(symlinkat("a", folder.fd, "link"), 0);
        assert_int_equal(mkfifoat(folder.fd, "fifo", 0600), 0);
        folder_make_in(folder.fd, "below");
        collect("**");
        assert_int_equal(collection.n_files, 3);
        assert_int_equal(count_open_descriptors(), before);
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                folder_test(test_files_come_back_in_order),
                folder_test(test_several_patterns),
                folder_test(test_a_symbolic_link_is_not_followed),
                folder_test(test_a_linked_folder_is_not_entered),
                folder_test(test_a_hard_link_is_not_read),
                folder_test(test_what_is_no_file_is_not_read),
                folder_test(test_an_unreadable_file_is_named),
                folder_test(test_names_are_bytes),
                folder_test(test_depth_is_bounded),
                folder_test(test_no_depth_is_too_much),
                folder_test(test_files_are_bounded),
                folder_test(test_bytes_are_bounded_together),
                folder_test(test_a_hole_of_a_petabyte_costs_nothing),
                folder_test(test_entries_are_bounded),
                folder_test(test_the_work_of_matching_is_bounded),
                folder_test(test_no_descriptor_is_left_open),
        };

        return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}
