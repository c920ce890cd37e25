/* Trees are copied, linked and measured, honest ones and hostile ones. */

#include "pool/tree.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "folders.h"

#define OWNER  54321
#define PLENTY (1ULL << 40)

static Folder folder;
static int from_fd, to_fd;

static int set_up(void **state) {
        folder_make(&folder);
        folder_make_in(folder.fd, "from");
        folder_make_in(folder.fd, "to");
        from_fd = folder_open_in(folder.fd, "from");
        to_fd = folder_open_in(folder.fd, "to");
        return 0;
}

static int tear_down(void **state) {
        close_fd(&from_fd);
        close_fd(&to_fd);
        folder_remove(&folder);
        return 0;
}

static int set_up_without_rights(void **state) {
        int r = set_up(state);

        set_override(false);
        return r;
}

static int tear_down_without_rights(void **state) {
        set_override(true);
        return tear_down(state);
}

static int copy(void) {
        return tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 100000);
}

static struct stat status_in(int fd, const char *name) {
        struct stat status;

        assert_int_equal(fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
        return status;
}

static bool is_there(int fd, const char *name) {
        struct stat status;

        return fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void check_content(int fd, const char *name, const void *content, size_t size) {
        _autoclose_ int file_fd = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _autofree_ char *read_back = malloc(size + 1);

        assert_true(file_fd >= 0);
        assert_int_equal(read(file_fd, read_back, size + 1), size);
        assert_memory_equal(read_back, content, size);
}

static void test_a_copy_is_the_same(void **state) {
        static const char *const names[] = {"plain", " ", "line\nbreak", "\xff\xfe",
                                            "-rf",   "ü", ".hidden"};
        const struct timespec times[2] = {{1000000000, 5000}, {1100000000, 7000}};
        _autoclose_ int below_fd = -1, below_to_fd = -1;
        struct stat status;
        char target[64] = "";

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                file_make(from_fd, names[i]);
        file_write(from_fd, "empty", "", 0);
        assert_int_equal(fchmodat(from_fd, "plain", 0751, 0), 0);
        assert_int_equal(utimensat(from_fd, "plain", times, 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", from_fd, "link"), 0);
        folder_make_in(from_fd, "below");
        below_fd = folder_open_in(from_fd, "below");
        file_make(below_fd, "file");
        assert_int_equal(fchmod(below_fd, 0555), 0);
        assert_int_equal(futimens(below_fd, times), 0);

        assert_int_equal(copy(), 0);
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                check_content(to_fd, names[i], names[i], strlen(names[i]));
        check_content(to_fd, "empty", "", 0);
        status = status_in(to_fd, "plain");
        assert_int_equal(status.st_mode & 07777, 0751);
        assert_int_equal(status.st_mtim.tv_sec, 1100000000);
        assert_int_equal(status.st_mtim.tv_nsec, 7000);
        assert_int_equal(readlinkat(to_fd, "link", target, sizeof(target)), 11);
        assert_string_equal(target, "/etc/passwd");
        status = status_in(to_fd, "below");
        assert_int_equal(status.st_mode & 07777, 0555);
        assert_int_equal(status.st_mtim.tv_sec, 1100000000);
        below_to_fd = folder_open_in(to_fd, "below");
        check_content(below_to_fd, "file", "file", 4);
        assert_int_equal(count_entries(to_fd), count_entries(from_fd));
}

static void test_owners(void **state) {
        static const char *const names[] = {"file", "link", "below", "below/file"};
        _autoclose_ int below_fd = -1;

        if (geteuid() != 0)
                skip_because("needs root: files are given to another user");
        file_make(from_fd, "file");
        assert_int_equal(symlinkat("file", from_fd, "link"), 0);
        folder_make_in(from_fd, "below");
        below_fd = folder_open_in(from_fd, "below");
        file_make(below_fd, "file");
        assert_int_equal(fchmodat(from_fd, "file", 06755, 0), 0);
        assert_int_equal(tree_copy(from_fd, to_fd, OWNER, PLENTY, 100), 0);
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                struct stat status = status_in(to_fd, names[i]);

                assert_int_equal(status.st_uid, OWNER);
                assert_int_equal(status.st_gid, OWNER);
        }
        /* No file becomes one that lends its owner's rights. */
        assert_int_equal(status_in(to_fd, "file").st_mode & 07777, 0755);
}

static void test_large_and_sparse_files(void **state) {
        size_t size = 3 << 20;
        _autofree_ char *content = malloc(size);
        _autoclose_ int fd = openat(from_fd, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat status;
        char byte;

        for (size_t i = 0; i < size; i++)
                content[i] = (char) (i * 7 + i / 251);
        file_write(from_fd, "large", content, size);
        assert_int_equal(pwrite(fd, "x", 1, 1 << 20), 1);
        assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
        /* The hole counts for nothing. */
        assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, size + (1 << 17), 10), 0);
        check_content(to_fd, "large", content, size);
        status = status_in(to_fd, "sparse");
        assert_int_equal(status.st_size, (off_t) 1 << 40);
        assert_true(status.st_blocks * 512 < 1 << 20);
        close_fd(&fd);
        fd = openat(to_fd, "sparse", O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, 1 << 20), 1);
        assert_int_equal(byte, 'x');
}

static void test_limits(void **state) {
        char content[10000];

        memset(content, 'x', sizeof(content));
        for (int i = 0; i < 5; i++) {
                char name[12];

                (void) snprintf(name, sizeof(name), "%d", i);
                file_write(from_fd, name, content, sizeof(content));
        }
        assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, 49999, 100), -EDQUOT);
        assert_int_equal(tree_link(from_fd, to_fd, 4), -EDQUOT);
        remove_tree(folder.fd, "to");
        folder_make_in(folder.fd, "to");
        close_fd(&to_fd);
        to_fd = folder_open_in(folder.fd, "to");
        assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 4), -EDQUOT);
        assert_int_equal(count_entries(to_fd), 4);
        assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, 50000, 5), 0);
}

/* Whatever ends it: what is in there is left for others to read. */
static void test_a_folder_that_is_linked_in_part(void **state) {
        folder_make_in(from_fd, "d");
        assert_int_equal(fchmodat(from_fd, "d", 0755, 0), 0);
        file_make(from_fd, "d/a");
        file_make(from_fd, "d/b");
        assert_int_equal(tree_link(from_fd, to_fd, 2), -EDQUOT);
        assert_int_equal(status_in(to_fd, "d").st_mode & 07777, 0755);
}

static void test_many_names(void **state) {
        uint64_t bytes, entries;

        for (unsigned i = 0; i < 20000; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(mknodat(from_fd, name, S_IFREG | 0600, 0), 0);
        }
        assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 1000), -EDQUOT);
        assert_int_equal(count_entries(to_fd), 1000);
        assert_int_equal(tree_measure(from_fd, TREE_ENTRIES_MAX, &bytes, &entries), 0);
        assert_int_equal(entries, 20000);
}

static void test_what_is_too_deep(void **state) {
        uint64_t bytes, entries;
        unsigned before = count_open_descriptors();

        make_deep(from_fd, 5000);
        assert_int_equal(copy(), -EDQUOT);
        assert_int_equal(tree_link(from_fd, to_fd, 1000000), -EDQUOT);
        assert_int_equal(tree_measure(from_fd, TREE_ENTRIES_MAX, &bytes, &entries), -EDQUOT);
        assert_int_equal(count_open_descriptors(), before);
        /* Too deep for remove_tree() of the tests as well: a level moves up, again and again. */
        for (int i = 0; i < 5000; i++) {
                _autoclose_ int fd = folder_open_in(from_fd, "d");

                assert_int_equal(unlinkat(fd, "f", 0) < 0 && errno != ENOENT, 0);
                if (renameat(fd, "d", from_fd, "e") < 0)
                        break;
                assert_int_equal(unlinkat(from_fd, "d", AT_REMOVEDIR), 0);
                assert_int_equal(renameat(from_fd, "e", from_fd, "d"), 0);
        }
}

static void test_what_is_neither_file_nor_folder(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _autoclose_ int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(mkfifoat(from_fd, "fifo", 0600), 0);
        assert_true(strlen(folder.path) < 90);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/from/socket",
                        folder.path);
        assert_int_equal(bind(socket_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        if (geteuid() == 0)
                assert_int_equal(mknodat(from_fd, "device", S_IFCHR | 0600, 0x103), 0);
        file_make(from_fd, "file");
        assert_int_equal(copy(), 0);
        assert_int_equal(count_entries(to_fd), 1);
        assert_int_equal(tree_link(from_fd, to_fd, 10), 0);
        assert_int_equal(count_entries(to_fd), 1);
}

static void test_second_names(void **state) {
        file_make(folder.fd, "of another");
        file_make(from_fd, "own");
        assert_int_equal(linkat(from_fd, "own", from_fd, "own as well", 0), 0);
        assert_int_equal(linkat(folder.fd, "of another", from_fd, "other", 0), 0);
        if (geteuid() == 0)
                assert_int_equal(fchownat(folder.fd, "of another", OWNER, OWNER, 0), 0);
        assert_int_equal(copy(), 0);
        check_content(to_fd, "own", "own", 3);
        check_content(to_fd, "own as well", "own", 3);
        assert_int_equal(status_in(to_fd, "own").st_nlink, 1);
        assert_int_equal(is_there(to_fd, "other"), geteuid() != 0);
}

/* Without root's rights: what its owner has closed to itself is copied, and stays closed. */
static void test_closed_files_and_folders(void **state) {
        for (mode_t mode = 0; mode <= 0700; mode += 0100) {
                _autoclose_ int fd = -1;
                char name[16];

                (void) snprintf(name, sizeof(name), "folder-%o", mode);
                folder_make_in(from_fd, name);
                fd = folder_open_in(from_fd, name);
                file_make(fd, "file");
                assert_int_equal(fchmodat(fd, "file", mode, 0), 0);
                assert_int_equal(fchmod(fd, mode), 0);
        }
        assert_int_equal(copy(), 0);
        set_override(true);
        for (mode_t mode = 0; mode <= 0700; mode += 0100) {
                char name[16], below[32];

                (void) snprintf(name, sizeof(name), "folder-%o", mode);
                (void) snprintf(below, sizeof(below), "folder-%o/file", mode);
                assert_int_equal(fchmodat(to_fd, name, 0700 | status_in(to_fd, name).st_mode, 0),
                                 0);
                assert_int_equal(status_in(from_fd, name).st_mode & 07777, mode);
                if (geteuid() == 0)
                        assert_int_equal(status_in(from_fd, below).st_mode & 07777, mode);
                assert_int_equal(status_in(to_fd, below).st_mode & 07777, mode);
                assert_int_equal(status_in(to_fd, below).st_size, 4);
        }
}

static void test_links_join_what_is_there(void **state) {
        _autoclose_ int a_fd = -1, b_fd = -1;

        folder_make_in(from_fd, "package");
        a_fd = folder_open_in(from_fd, "package");
        file_make(a_fd, "new");
        file_write(a_fd, "both", "theirs", 6);
        file_make(from_fd, "taken");
        folder_make_in(from_fd, "file there");
        folder_make_in(from_fd, "link there");
        folder_make_in(to_fd, "package");
        b_fd = folder_open_in(to_fd, "package");
        file_make(b_fd, "old");
        file_write(b_fd, "both", "ours", 4);
        folder_make_in(to_fd, "taken");
        file_make(to_fd, "file there");
        assert_int_equal(symlinkat("/tmp", to_fd, "link there"), 0);

        assert_int_equal(tree_link(from_fd, to_fd, 100), 0);
        check_content(b_fd, "new", "new", 3);
        check_content(b_fd, "old", "old", 3);
        check_content(b_fd, "both", "ours", 4);
        assert_int_equal(status_in(b_fd, "new").st_ino, status_in(a_fd, "new").st_ino);
        assert_true(S_ISDIR(status_in(to_fd, "taken").st_mode));
        assert_true(S_ISREG(status_in(to_fd, "file there").st_mode));
        assert_true(S_ISLNK(status_in(to_fd, "link there").st_mode));
}

static void test_a_link_to_another_file_system_is_a_copy(void **state) {
        char path[] = "/tmp/hatchery-test-XXXXXX";
        _autoclose_ int other_fd = -1;
        struct stat here, there;

        assert_non_null(mkdtemp(path));
        other_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fstat(other_fd, &there), 0);
        assert_int_equal(fstat(from_fd, &here), 0);
        file_make(from_fd, "file");
        assert_int_equal(tree_link(from_fd, other_fd, 100), 0);
        check_content(other_fd, "file", "file", 4);
        assert_int_equal(status_in(other_fd, "file").st_nlink, here.st_dev == there.st_dev ? 2 : 1);
        remove_tree(AT_FDCWD, path);
}

static void test_measure(void **state) {
        _autofree_ char *content = malloc(100000);
        uint64_t bytes, entries;

        memset(content, 'x', 100000);
        folder_make_in(from_fd, "below");
        file_write(from_fd, "a", content, 100000);
        file_write(from_fd, "below/b", content, 50000);
        assert_int_equal(symlinkat("/", from_fd, "link"), 0);
        assert_int_equal(syncfs(from_fd), 0);
        assert_int_equal(tree_measure(from_fd, TREE_ENTRIES_MAX, &bytes, &entries), 0);
        assert_in_range(bytes, 150000, 250000);
        assert_int_equal(entries, 4);
}

static void test_a_path_is_made(void **state) {
        char path[300];

        (void) snprintf(path, sizeof(path), "%s/a/b/c", folder.path);
        assert_int_equal(tree_make_path(path, 0711, "it"), 0);
        assert_int_equal(tree_make_path(path, 0700, "it"), 0);
        assert_int_equal(status_in(folder.fd, "a/b/c").st_mode & 07777, 0711);
        assert_int_equal(tree_make_path("relative", 0711, "it"), -EINVAL);
        memset(path, 'x', sizeof(path));
        path[0] = '/';
        path[299] = '\0';
        assert_int_equal(tree_make_path(path, 0711, "it"), -EINVAL);
        file_make(folder.fd, "file");
        (void) snprintf(path, sizeof(path), "%s/file/c", folder.path);
        assert_int_equal(tree_make_path(path, 0711, "it"), -ENOTDIR);
}

#define tree_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define tree_test_without_rights(f)                                                                \
        cmocka_unit_test_setup_teardown(f, set_up_without_rights, tear_down_without_rights)

int main(void) {
        const struct CMUnitTest tests[] = {
                tree_test(test_a_copy_is_the_same),
                tree_test(test_owners),
                tree_test(test_large_and_sparse_files),
                tree_test(test_limits),
                tree_test(test_a_folder_that_is_linked_in_part),
                tree_test(test_many_names),
                tree_test(test_what_is_too_deep),
                tree_test(test_what_is_neither_file_nor_folder),
                tree_test(test_second_names),
                tree_test_without_rights(test_closed_files_and_folders),
                tree_test(test_links_join_what_is_there),
                tree_test(test_a_link_to_another_file_system_is_a_copy),
                tree_test(test_measure),
                tree_test(test_a_path_is_made),
        };

        return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
