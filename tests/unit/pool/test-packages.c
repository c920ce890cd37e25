/* Lists of packages, and the files that belong to one: what is written there is hostile. */

#include "pool/packages.h"

#include "folders.h"
#include "pool/package_files.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

static Folder folder;

static int set_up(void **state) {
        folder_make(&folder);
        return 0;
}

static int tear_down(void **state) {
        folder_remove(&folder);
        return 0;
}

static void write_in(const char *directory, const char *name, const char *text) {
        int fd = tree_open(folder.fd, directory, O_RDONLY | O_DIRECTORY);

        if (fd == -ENOENT)
                assert_int_equal(tree_make_folder(folder.fd, directory, 0755, (uid_t) -1, &fd), 0);
        assert_true(fd >= 0);
        if (name)
                file_write(fd, name, text, strlen(text));
        (void) close(fd);
}

static bool exists(const char *path) {
        return faccessat(folder.fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void expect_list(const char *expected) {
        char text[1024] = "";
        PackageList list;

        assert_int_equal(package_list_read(folder.fd, &list), 0);
        for (size_t i = 0; i < list.n; i++) {
                size_t used = strlen(text);

                (void) snprintf(text + used, sizeof(text) - used, "%s %s\n", list.of[i].name,
                                list.of[i].version);
        }
        assert_string_equal(text, expected);
        package_list_done(&list);
}

/* --- lists --- */

static void test_names_and_versions(void **state) {
        write_in("b-1.0.dist-info", "METADATA", "Metadata-Version: 2.1\nName: B\nVersion: 1.0\n\n");
        write_in("a_a-2.dist-info", "METADATA", "Name:   A.a  \r\nVersion: 2+x\r\n");
        write_in("c-3.dist-info", NULL, NULL);
        write_in("d", "METADATA", "Name: d\nVersion: 1\n");
        expect_list("A.a 2+x\nB 1.0\nc 3\n");
}

static void test_hostile_metadata(void **state) {
        static char much[20000];

        memset(much, 'x', sizeof(much) - 1);
        write_in("noversion.dist-info", "METADATA", "Name: no\n");
        write_in("nodash.dist-info", NULL, NULL);
        write_in("x-1.dist-info", "METADATA", "Name: ../x\nVersion: 1\n");
        write_in("y-1.dist-info", "METADATA", "Name: y\nVersion: \x1b[2J\n");
        write_in("z-1.dist-info", "METADATA", much);
        write_in("v-1.dist-info", NULL, NULL);
        assert_int_equal(mkfifoat(folder.fd, "v-1.dist-info/METADATA", 0600), 0);
        assert_int_equal(symlinkat("/etc/passwd", folder.fd, "w-1.dist-info"), 0);
        /* What says nonsense is left out; what says nothing is known by its folder. */
        expect_list("v 1\nz 1\n");
}

static void test_so_many(void **state) {
        PackageList list;

        for (unsigned i = 0; i < PACKAGES_MAX + 10; i++) {
                char name[40];

                (void) snprintf(name, sizeof(name), "p%u-1.dist-info", i);
                folder_make_in(folder.fd, name);
        }
        assert_int_equal(package_list_read(folder.fd, &list), 0);
        assert_int_equal(list.n, PACKAGES_MAX);
        package_list_done(&list);
}

static void test_of_a_template(void **state) {
        PackageList list;

        assert_int_equal(package_list_of_template(
                                 "{\"packages\": {\"x\": \"9\"}, \"distributions\": {\"Numpy\": "
                                 "\"1.24\", \"b\\u0061d\": \"1\", \"n\": 3, \"a-b\": \"2\"}}",
                                 &list),
                         0);
        assert_int_equal(list.n, 2);
        assert_string_equal(package_list_find(&list, "numpy")->version, "1.24");
        assert_string_equal(package_list_find(&list, "a_B")->name, "a-b");
        assert_null(package_list_find(&list, "x"));
        package_list_done(&list);
        assert_int_equal(package_list_of_template("{}", &list), 0);
        assert_int_equal(list.n, 0);
        assert_int_equal(package_list_of_template("not JSON", &list), 0);
        assert_int_equal(list.n, 0);
}

/* --- files --- */

static void test_metadata_is_copied(void **state) {
        Folder to;

        folder_make(&to);
        write_in("a-1.dist-info", "METADATA", "Name: a\n");
        write_in("b-1.dist-info", NULL, NULL);
        assert_int_equal(symlinkat("/etc/passwd", folder.fd, "b-1.dist-info/METADATA"), 0);
        write_in("c", "METADATA", "Name: c\n");
        write_in("d-1.dist-info", "METADATA", "Name: d\nSummary: \xff\n");
        assert_int_equal(package_files_copy_metadata(folder.fd, to.fd), 0);
        assert_int_equal(faccessat(to.fd, "a-1.dist-info/METADATA", F_OK, 0), 0);
        assert_int_equal(count_entries(to.fd), 1);
        folder_remove(&to);
}

static void test_what_is_recorded_is_removed(void **state) {
        write_in("a-1.dist-info", "METADATA", "Name: a\nVersion: 1\n");
        write_in("a-1.dist-info", "unrecorded", "");
        write_in("a", "x.py", "");
        write_in("a", "with, comma.py", "");
        write_in("a", "quote\".py", "");
        write_in("b", "kept.py", "");
        write_in("b", "a-s.py", "");
        write_in("a-1.dist-info", "RECORD",
                 "a/x.py,sha256=x,1\n\"a/with, comma.py\",,\n\"a/quote\"\".py\",,\r\nb/a-s.py,,\n"
                 "a-1.dist-info/METADATA,,\na-1.dist-info/RECORD,,");
        /* Of another package. */
        write_in("ab-1.dist-info", "RECORD", "b/kept.py,,\n");
        assert_int_equal(package_files_remove(folder.fd, "A"), 0);
        assert_false(exists("a"));
        assert_false(exists("a-1.dist-info"));
        assert_false(exists("b/a-s.py"));
        assert_true(exists("b/kept.py"));
        assert_true(exists("ab-1.dist-info"));
        assert_int_equal(package_files_remove(folder.fd, "none"), 0);
        assert_int_equal(package_files_remove(folder.fd, "../x"), 0);
}

static void test_hostile_records(void **state) {
        static char record[8192 + 64];
        Folder outside;

        folder_make(&outside);
        file_make(outside.fd, "kept");
        (void) snprintf(record, sizeof(record),
                        "%s/kept,,\n../%s/kept,,\n../../../../../../%s/kept,,\nlink/kept,,\n",
                        outside.path, strrchr(outside.path, '/') + 1, outside.path);
        memset(record + strlen(record), 'x', 8000);
        write_in("a-1.dist-info", "RECORD", record);
        assert_int_equal(symlinkat(outside.path, folder.fd, "link"), 0);
        assert_int_equal(package_files_remove(folder.fd, "a"), 0);
        assert_int_equal(faccessat(outside.fd, "kept", F_OK, 0), 0);
        assert_true(exists("link"));
        folder_remove(&outside);
}

static void test_the_room_that_a_package_takes(void **state) {
        static const char *const names[] = {"A", "b", "none", "../x", "a"};
        char text[5000];
        struct stat status;
        uint64_t bytes;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        write_in("a", "x.py", text);
        write_in("a", "unrecorded", text);
        assert_int_equal(symlinkat("x.py", folder.fd, "a/link"), 0);
        assert_int_equal(linkat(folder.fd, "a/x.py", folder.fd, "a/again", 0), 0);
        write_in("a-1.dist-info", "RECORD",
                 "a/x.py,,\na/x.py,,\n./a//x.py,,\na/again,,\na/link,,\na,,\n../x,,\n/etc/"
                 "hosts,,\n");
        write_in("b-1.dist-info", "RECORD", "a/x.py,,\na/none,,\n");
        write_in("c-1.dist-info", "RECORD", "a/unrecorded,,\n");
        assert_int_equal(fstatat(folder.fd, "a/x.py", &status, 0), 0);
        assert_int_equal(package_files_measure(folder.fd, names, N_ELEMENTS(names), &bytes), 0);
        assert_int_equal(bytes, status.st_blocks * 512);
        assert_int_equal(package_files_measure(folder.fd, names, 0, &bytes), 0);
        assert_int_equal(bytes, 0);
}

/* A server that is killed leaves as much as there is between these steps. */
static void test_what_is_not_finished_is_not_installed(void **state) {
        _autoclose_ int files_fd = -1, packages_fd = -1, to_fd = -1;
        PackageList list;

        write_in("files", "a.py", "");
        write_in("files/a-1.dist-info", "METADATA", "Name: a\nVersion: 1\n");
        write_in("files/a-1.dist-info", "RECORD", "a.py,,\na-1.dist-info/METADATA,,\n");
        folder_make_in(folder.fd, "packages");
        folder_make_in(folder.fd, "for-pip");
        files_fd = folder_open_in(folder.fd, "files");
        packages_fd = folder_open_in(folder.fd, "packages");
        to_fd = folder_open_in(folder.fd, "for-pip");
        assert_int_equal(package_files_begin(packages_fd, files_fd), 0);
        assert_int_equal(linkat(files_fd, "a.py", packages_fd, "a.py", 0), 0);
        assert_int_equal(package_files_remove(packages_fd, "a"), 0);
        assert_int_equal(count_entries(packages_fd), 0);

        assert_int_equal(package_files_begin(packages_fd, files_fd), 0);
        assert_int_equal(tree_link(files_fd, packages_fd, 100), 0);
        assert_int_equal(package_list_read(packages_fd, &list), 0);
        assert_int_equal(list.n, 0);
        assert_int_equal(package_files_copy_metadata(packages_fd, to_fd), 0);
        assert_int_equal(count_entries(to_fd), 0);
        assert_int_equal(package_files_end(packages_fd, files_fd), 0);
        assert_int_equal(package_files_copy_metadata(packages_fd, to_fd), 0);
        assert_int_equal(count_entries(to_fd), 1);
        assert_int_equal(package_list_read(packages_fd, &list), 0);
        assert_int_equal(list.n, 1);
        package_list_done(&list);
        assert_false(exists("packages/a-1.dist-info/" PACKAGE_UNFINISHED));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_names_and_versions),
                TEST(test_hostile_metadata),
                TEST(test_so_many),
                TEST(test_of_a_template),
                TEST(test_metadata_is_copied),
                TEST(test_what_is_recorded_is_removed),
                TEST(test_hostile_records),
                TEST(test_the_room_that_a_package_takes),
                TEST(test_what_is_not_finished_is_not_installed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
