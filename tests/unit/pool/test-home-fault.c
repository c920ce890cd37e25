/* Homes and copies of trees when the disk is full, or descriptors run out. */

#include <sys/resource.h>

#include "disk.h"
#include "pool/home.h"
#include "pool/tree.h"

#define UID_BASE 70000
#define PLENTY   (1ULL << 40)

static Folder folder;

static int set_up(void **state) {
        folder_make(&folder);
        return 0;
}

static int tear_down(void **state) {
        disk_remove(&folder);
        folder_remove(&folder);
        return 0;
}

/* --- a full disk --- */

static uint64_t free_inodes(void) {
        struct statvfs room;

        assert_int_equal(fstatvfs(folder.fd, &room), 0);
        return room.f_ffree;
}

/* Files with numbers for names, until so many inodes are free. */
static void leave_inodes(uint64_t n) {
        char name[32];

        while (free_inodes() > n) {
                (void) snprintf(name, sizeof(name), "filler-%ju", (uintmax_t) free_inodes());
                assert_int_equal(mknodat(folder.fd, name, S_IFREG | 0600, 0), 0);
        }
}

static void remove_fillers(void) {
        for (unsigned i = 0; i < 300; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "filler-%u", i);
                (void) unlinkat(folder.fd, name, 0);
        }
}

/* However far it gets, nothing of it stays: no folder, no index, no descriptor. */
static void test_a_home_on_a_full_disk(void **state) {
        const uint64_t needed = 6; /* the home, work, packages, tmp, and one in each of the first */
        unsigned before;

        need_disk(&folder, "size=8m,nr_inodes=200");
        before = count_open_descriptors();
        for (uint64_t n = 0; n <= needed; n++) {
                Homes homes;
                Home home;
                HomeMember member;
                int r;

                assert_int_equal(homes_open(&homes, folder.path, UID_BASE), 0);
                leave_inodes(n);
                r = home_make(&homes, true, &home, &member);
                assert_int_equal(r, n < needed ? -ENOSPC : 0);
                for (unsigned i = 0; i < HOMES_MAX / 64; i++)
                        assert_int_equal(homes.used[i], r == 0 && i == 0 ? 1 : 0);
                if (r == 0)
                        home_remove_member(&homes, &home, &member);
                homes_close(&homes);
                assert_int_equal(free_inodes(), n);
                assert_int_equal(count_open_descriptors(), before);
                remove_fillers();
        }
}

static void test_a_member_on_a_full_disk(void **state) {
        Homes homes;
        Home home;
        HomeMember first, second;

        need_disk(&folder, "size=8m,nr_inodes=200");
        assert_int_equal(homes_open(&homes, folder.path, UID_BASE), 0);
        assert_int_equal(home_make(&homes, false, &home, &first), 0);
        file_make(first.work_fd, "kept");
        for (uint64_t n = 0; n < 2; n++) {
                leave_inodes(n);
                assert_int_equal(home_add_member(&homes, &home, 0, &second), -ENOSPC);
                assert_int_equal(home.n_members, 1);
                remove_fillers();
        }
        assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
        assert_int_equal(faccessat(first.work_fd, "kept", F_OK, 0), 0);
        home_remove_member(&homes, &home, &second);
        home_remove_member(&homes, &home, &first);
        homes_close(&homes);
}

static void test_a_copy_on_a_full_disk(void **state) {
        _autofree_ char *bytes = malloc(1 << 20);
        struct statvfs before, after;
        HomeMember first, second;
        Homes homes;
        Home home;

        need_disk(&folder, "size=3m,nr_inodes=200");
        memset(bytes, 'x', 1 << 20);
        assert_int_equal(homes_open(&homes, folder.path, UID_BASE), 0);
        assert_int_equal(home_make(&homes, false, &home, &first), 0);
        file_write(first.work_fd, "a", bytes, 1 << 20);
        file_write(first.work_fd, "b", bytes, 1 << 20);
        assert_int_equal(statvfs(folder.path, &before), 0);
        assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
        assert_int_equal(tree_copy(first.work_fd, second.work_fd, home.uid, PLENTY, 100), -ENOSPC);
        home_remove_member(&homes, &home, &second);
        home_member_close(&first);
        home_close(&homes, &home);
        homes_close(&homes);
        assert_int_equal(statvfs(folder.path, &after), 0);
        assert_int_equal(after.f_bfree, before.f_bfree);
        assert_int_equal(after.f_ffree, before.f_ffree);
}

/* --- out of descriptors --- */

static void limit_descriptors(rlim_t n) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = n ? n : limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t first_free_descriptor(void) {
        int fd = fcntl(folder.fd, F_DUPFD_CLOEXEC, 0);

        (void) close(fd);
        return (rlim_t) fd;
}

/* A copy is whole, or it fails: it does not leave out what it cannot open just now. */
static void test_a_copy_without_descriptors(void **state) {
        _autoclose_ int from_fd = -1, to_fd = -1;
        rlim_t first;
        int r = -EMFILE;

        folder_make_in(folder.fd, "from");
        folder_make_in(folder.fd, "to");
        from_fd = folder_open_in(folder.fd, "from");
        to_fd = folder_open_in(folder.fd, "to");
        make_deep(from_fd, 3);
        first = first_free_descriptor();
        for (rlim_t n = 0; r == -EMFILE; n++) {
                assert_true(n < 100);
                limit_descriptors(first + n);
                r = tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 100);
                limit_descriptors(0);
                assert_true(r != 0 || (faccessat(to_fd, "d/d/f", F_OK, 0) == 0 &&
                                       faccessat(to_fd, "d/d/d", F_OK, 0) == 0 &&
                                       faccessat(to_fd, "d/f", F_OK, 0) == 0 &&
                                       faccessat(to_fd, "f", F_OK, 0) == 0));
                assert_int_equal(first_free_descriptor(), first);
                if (r != 0) {
                        remove_tree(to_fd, "d");
                        remove_tree(to_fd, "f");
                }
        }
        assert_int_equal(r, 0);
}

static void test_a_home_without_descriptors(void **state) {
        Homes homes;
        Home home;
        HomeMember member;
        unsigned before = count_open_descriptors();
        rlim_t first;
        int r = -EMFILE;

        assert_int_equal(homes_open(&homes, folder.path, 0), 0);
        first = first_free_descriptor();
        for (rlim_t n = 0; r == -EMFILE; n++) {
                assert_true(n < 100);
                limit_descriptors(first + n);
                r = home_make(&homes, true, &home, &member);
                limit_descriptors(0);
        }
        assert_int_equal(r, 0);
        home_remove_member(&homes, &home, &member);
        homes_close(&homes);
        assert_int_equal(count_open_descriptors(), before);
}

#define fault_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                fault_test(test_a_home_on_a_full_disk),
                fault_test(test_a_member_on_a_full_disk),
                fault_test(test_a_copy_on_a_full_disk),
                fault_test(test_a_copy_without_descriptors),
                fault_test(test_a_home_without_descriptors),
        };

        return cmocka_run_group_tests_name("home-fault", tests, NULL, NULL);
}
