/* The homes of sessions: made, shared, emptied, found again by the next server, and gone without a
 * trace, whatever was done in them. */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "home_scene.h"
#include "pool/tree.h"

/* What is left of all homes when the janitor has had its time. */
static unsigned count_left(void) {
        _autoclose_ int fd = folder_open_in(folder.fd, "sessions"), trash_fd = -1;

        homes_close(&homes);
        trash_fd = folder_open_in(fd, "trash");
        return count_entries(fd) - 1 + count_entries(trash_fd);
}

static void check_folder(const char *name, mode_t mode, uid_t uid, gid_t gid) {
        struct stat status;

        assert_int_equal(fstatat(home.directory_fd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISDIR(status.st_mode));
        assert_int_equal(status.st_mode & 07777, mode);
        assert_int_equal(status.st_uid, uid);
        assert_int_equal(status.st_gid, gid);
}

static void test_modes_and_owners(void **state) {
        uid_t own = geteuid(), uid;
        gid_t own_group = getegid(), group;
        mode_t mask = umask(077);
        struct stat status;
        char path[256];

        assert_int_equal(home_make(&homes, true, &home, &member), 0);
        (void) umask(mask);
        uid = uid_base ? uid_base + home.index : own;
        group = uid_base ? uid : own_group;
        assert_int_equal(home.uid, uid_base ? uid : 0);
        check_folder(".", 0711, own, own_group);
        check_folder("work", 0711, own, group);
        check_folder("work/0", 0700, uid, group);
        check_folder("packages", 0711, own, own_group);
        check_folder("packages/0", 0755, own, own_group);
        check_folder("tmp", 0700, uid, group);
        assert_int_equal(fstatat(folder.fd, "sessions", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0711);
        assert_int_equal(fstatat(folder.fd, "sessions/trash", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
        home_path(&homes, &home, path, sizeof(path));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(home.n_members, 1);
}

static void test_two_homes_have_nothing_in_common(void **state) {
        Home other;
        HomeMember other_member;

        struct stat status;

        assert_int_equal(home_make(&homes, false, &other, &other_member), 0);
        assert_string_not_equal(home.name, other.name);
        assert_int_not_equal(home.index, other.index);
        assert_true(uid_base == 0 || home.uid != other.uid);
        assert_true(faccessat(other.directory_fd, "tmp", F_OK, 0) < 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(home_make_tmp(&other), 0);
                assert_int_equal(fstatat(other.directory_fd, "tmp", &status, 0), 0);
                assert_int_equal(status.st_mode & 07777, 0700);
                assert_int_equal(status.st_uid, uid_base ? other.uid : geteuid());
        }
        home_remove_member(&homes, &other, &other_member);
        assert_int_equal(other.directory_fd, -1);
        home_remove_member(&homes, &home, &member);
        assert_int_equal(count_left(), 0);
}

static void test_a_root_belongs_to_one_server(void **state) {
        Homes second;

        assert_int_equal(homes_open(&second, folder.path, uid_base), -EWOULDBLOCK);
        homes_close(&second);
        homes_close(&homes);
        assert_int_equal(homes_open(&homes, folder.path, uid_base), 0);
}

static void test_members_come_and_go(void **state) {
        HomeMember second, third;
        struct stat before, after;

        file_make(member.work_fd, "of the first");
        assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
        assert_int_equal(second.number, 1);
        file_make(second.work_fd, "of the second");
        file_make(home.directory_fd, "1.session");
        file_make(home.directory_fd, "1.cells");
        home_remove_member(&homes, &home, &second);
        assert_int_equal(home.n_members, 1);
        assert_true(faccessat(home.directory_fd, "1.session", F_OK, 0) < 0);
        assert_true(faccessat(home.directory_fd, "1.cells", F_OK, 0) < 0);
        assert_true(faccessat(home.directory_fd, "work/1", F_OK, 0) < 0);
        assert_true(faccessat(home.directory_fd, "packages/1", F_OK, 0) < 0);
        assert_int_equal(faccessat(home.directory_fd, "work/0/of the first", F_OK, 0), 0);

        assert_int_equal(home_add_member(&homes, &home, 0, &third), 0);
        assert_int_equal(third.number, 2); /* no number twice */
        assert_int_equal(fstat(third.work_fd, &before), 0);
        home_member_close(&third);
        assert_int_equal(home_open_member(&homes, &home, 2, &third), 0);
        assert_int_equal(fstat(third.work_fd, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);

        /* The first one may go first. */
        home_remove_member(&homes, &home, &member);
        assert_true(home.directory_fd >= 0);
        home_remove_member(&homes, &home, &third);
        assert_int_equal(count_left(), 0);
}

static void test_an_emptied_member_is_new(void **state) {
        struct stat before, after;
        int old_fd = fcntl(member.work_fd, F_DUPFD_CLOEXEC, 3);

        file_make(member.work_fd, "file");
        file_make(member.packages_fd, "package");
        make_deep(member.work_fd, 300);
        assert_int_equal(fstat(member.work_fd, &before), 0);
        assert_int_equal(fchmod(member.work_fd, 0), 0);
        assert_int_equal(home_empty_member(&homes, &home, &member), 0);
        assert_int_equal(fstat(member.work_fd, &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino);
        check_folder("work/0", 0700, uid_base ? home.uid : geteuid(),
                     uid_base ? home.uid : getegid());
        assert_int_equal(count_entries(member.work_fd), 0);
        assert_int_equal(count_entries(member.packages_fd), 0);
        (void) close(old_fd);
        home_remove_member(&homes, &home, &member);
        assert_int_equal(count_left(), 0);
}

/* What a plain user's session can do, whose /work belongs to it. */
static void test_what_has_taken_a_members_place(void **state) {
        _autoclose_ int work_fd = folder_open_in(home.directory_fd, "work");
        struct stat status;
        HomeMember next;

        folder_make_in(folder.fd, "kept");
        assert_int_equal(renameat(work_fd, "0", work_fd, "moved"), 0);
        assert_int_equal(symlinkat("../../../kept", work_fd, "0"), 0);
        assert_int_equal(symlinkat("../../../kept", work_fd, "1"), 0);
        home_member_close(&member);
        assert_int_equal(home_open_member(&homes, &home, 0, &member), 0);
        file_make(member.work_fd, "file");
        assert_int_equal(home_add_member(&homes, &home, 0, &next), 0);
        file_make(next.work_fd, "file");
        home_member_close(&next);

        home_member_close(&member);
        assert_int_equal(renameat(work_fd, "0", work_fd, "again"), 0);
        assert_int_equal(mkfifoat(work_fd, "0", 0600), 0);
        assert_int_equal(home_empty_member(&homes, &home, &member), 0);
        assert_int_equal(fstat(member.work_fd, &status), 0);
        assert_true(S_ISDIR(status.st_mode));
        home.n_members = 1;
        home_remove_member(&homes, &home, &member);
        assert_int_equal(count_left(), 0);
        assert_int_equal(faccessat(folder.fd, "kept/file", F_OK, 0), -1);
        assert_int_equal(faccessat(folder.fd, "kept", F_OK, 0), 0);
}

static void reopen(void) {
        home_member_close(&member);
        home_close(&homes, &home);
        homes_close(&homes);
        assert_int_equal(homes_open(&homes, folder.path, uid_base), 0);
}

static void test_the_next_server_finds_them(void **state) {
        Home before = home;
        HomeMember second;
        uint64_t position = 0;

        file_make(member.work_fd, "file");
        assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
        home_member_close(&second);
        assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
        home_member_close(&second);
        file_make(home.directory_fd, "0.session");
        file_make(home.directory_fd, "2.session");
        file_make(home.directory_fd, "02.session");
        file_make(home.directory_fd, "9999.session");
        reopen();
        assert_int_equal(homes_next(&homes, &position, &home), 1);
        assert_string_equal(home.name, before.name);
        assert_int_equal(home.uid, before.uid);
        assert_int_equal(home.n_members, 2);
        assert_int_equal(home.next_member, 3);
        assert_int_equal(faccessat(home.directory_fd, "work/0/file", F_OK, 0), 0);
        /* It never was said to be a session. */
        assert_true(faccessat(home.directory_fd, "work/1", F_OK, 0) < 0);
        assert_true(faccessat(home.directory_fd, "packages/1", F_OK, 0) < 0);
        assert_int_equal(homes_next(&homes, &position, &before), 0);
}

static void test_files_that_a_killed_server_has_left(void **state) {
        static const char *const kept[] = {"0.session", "0.cells", "7.cell", ".cells", "x.cells"};
        static const char *const gone[] = {"0.session.new", "0.cells.new", "7.cells.new",
                                           "7.cells"};
        uint64_t position = 0;

        for (size_t i = 0; i < N_ELEMENTS(kept); i++)
                file_make(home.directory_fd, kept[i]);
        for (size_t i = 0; i < N_ELEMENTS(gone); i++)
                file_make(home.directory_fd, gone[i]);
        reopen();
        assert_int_equal(homes_next(&homes, &position, &home), 1);
        for (size_t i = 0; i < N_ELEMENTS(kept); i++)
                assert_int_equal(faccessat(home.directory_fd, kept[i], F_OK, 0), 0);
        for (size_t i = 0; i < N_ELEMENTS(gone); i++)
                assert_true(faccessat(home.directory_fd, gone[i], F_OK, 0) < 0);
}

static void test_what_is_no_home_goes(void **state) {
        _autoclose_ int root_fd = folder_open_in(folder.fd, "sessions");
        uint64_t position = 0;
        Home found;

        home_member_close(&member);
        home_close(&homes, &home); /* a spare: nothing has been said of it */
        file_make(root_fd, "file");
        file_make(root_fd, "abcdefghijklmnop");
        assert_int_equal(symlinkat("/", root_fd, "bcdefghijklmnopq"), 0);
        folder_make_in(root_fd, "a-folder");
        folder_make_in(root_fd, "lost+found");
        folder_make_in(root_fd, "cdefghijklmnopqr");
        reopen();
        assert_int_equal(homes_next(&homes, &position, &found), 0);
        assert_int_equal(count_left(), 1);
}

static void test_two_of_one_index(void **state) {
        Home first, second;
        HomeMember its_member;
        uint64_t position = 0;

        if (uid_base == 0)
                skip_because("needs root: homes have no uids of their own");
        file_make(home.directory_fd, "0.session");
        assert_int_equal(home_make(&homes, false, &second, &its_member), 0);
        file_make(second.directory_fd, "0.session");
        assert_int_equal(fchownat(second.directory_fd, "work", 0, home.uid, 0), 0);
        home_member_close(&its_member);
        home_close(&homes, &second);
        reopen();
        assert_int_equal(homes_next(&homes, &position, &first), 1);
        assert_int_equal(homes_next(&homes, &position, &second), 0);
        home_close(&homes, &first);

        /* Another base: whose it was is not known any more. */
        homes_close(&homes);
        assert_int_equal(homes_open(&homes, folder.path, uid_base + 2 * HOMES_MAX), 0);
        position = 0;
        assert_int_equal(homes_next(&homes, &position, &first), 0);
        assert_int_equal(count_left(), 0);
}

static void test_no_descriptor_is_left_open(void **state) {
        unsigned before;
        uint64_t position = 0;

        /* Its janitor has some open now and then. */
        homes_close(&homes);
        before = count_open_descriptors();
        assert_int_equal(homes_open(&homes, folder.path, uid_base), 0);
        for (int i = 0; i < 3; i++) {
                HomeMember second;

                assert_int_equal(home_make(&homes, true, &home, &member), 0);
                assert_int_equal(home_add_member(&homes, &home, 0, &second), 0);
                assert_int_equal(home_empty_member(&homes, &home, &second), 0);
                home_remove_member(&homes, &home, &second);
                home_remove_member(&homes, &home, &member);
        }
        assert_int_equal(homes_next(&homes, &position, &home), 0);
        homes_close(&homes);
        assert_int_equal(homes_open(&homes, "/proc/1/no such place", 0), -ENOENT);
        assert_int_equal(count_open_descriptors(), before);
}

/* What a copy may enter holds what is copied from it. */
static void test_copies_of_copies(void **state) {
        HomeMember one, two, three, again;
        struct stat before, after;

        assert_string_equal(member.folder, "0");
        assert_int_equal(home_add_member(&homes, &home, 0, &one), 0);
        assert_int_equal(home_add_member(&homes, &home, 1, &two), 0);
        assert_int_equal(home_add_member(&homes, &home, 2, &three), 0);
        assert_string_equal(one.folder, "1");
        assert_string_equal(two.folder, "1+/2");
        assert_string_equal(three.folder, "1+/2+/3");
        check_folder("work/1+", 0711, geteuid(), getegid());
        file_make(three.work_fd, "of the third");
        assert_int_equal(faccessat(home.directory_fd, "work/1+/2+/3/of the third", F_OK, 0), 0);

        /* They outlive what they come from, and are found by their numbers. */
        home_remove_member(&homes, &home, &one);
        home_remove_member(&homes, &home, &two);
        assert_true(faccessat(home.directory_fd, "work/1+/2", F_OK, 0) < 0);
        assert_int_equal(fstat(three.work_fd, &before), 0);
        assert_int_equal(home_open_member(&homes, &home, 3, &again), 0);
        assert_string_equal(again.folder, "1+/2+/3");
        assert_int_equal(fstat(again.work_fd, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        home_member_close(&again);
        assert_int_equal(home_empty_member(&homes, &home, &three), 0);
        assert_true(faccessat(home.directory_fd, "work/1+/2+/3/of the third", F_OK, 0) < 0);

        home_remove_member(&homes, &home, &three);
        assert_true(faccessat(home.directory_fd, "3.folder", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
        assert_true(faccessat(home.directory_fd, "work/1+/2+/3+", F_OK, 0) < 0);
}

static void test_copies_of_copies_have_an_end(void **state) {
        unsigned source = 0;
        HomeMember next;
        int r = 0;

        while (r == 0) {
                r = home_add_member(&homes, &home, source, &next);
                if (r == 0) {
                        source = next.number;
                        home_member_close(&next);
                }
        }
        assert_int_equal(r, -ENAMETOOLONG);
        /* As many layers of Landlock as there can be (16), and more. */
        assert_in_range(source, 16, 100);
        assert_int_equal(home_add_member(&homes, &home, 0, &next), 0);
        home_member_close(&next);
}

#define home_test(f)  cmocka_unit_test_setup_teardown(f, set_up_home, tear_down)
#define homes_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                homes_test(test_modes_and_owners),
                home_test(test_two_homes_have_nothing_in_common),
                homes_test(test_a_root_belongs_to_one_server),
                home_test(test_members_come_and_go),
                home_test(test_copies_of_copies),
                home_test(test_copies_of_copies_have_an_end),
                home_test(test_an_emptied_member_is_new),
                home_test(test_what_has_taken_a_members_place),
                home_test(test_the_next_server_finds_them),
                home_test(test_files_that_a_killed_server_has_left),
                home_test(test_what_is_no_home_goes),
                home_test(test_two_of_one_index),
                homes_test(test_no_descriptor_is_left_open),
        };

        return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
