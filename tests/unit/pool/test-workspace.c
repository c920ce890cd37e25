/* The folders of the slots: made, emptied, made anew, and gone in the end, whatever a run did to
 * them. */

#include "pool/workspace.h"

#include <signal.h>
#include <sys/wait.h>

#include "folders.h"

#define SLOT_UID 54321

static Folder folder;
static Workspace workspace;
static SlotFolders slot;
static uid_t uid;

static int open_in_folder(void) {
        assert_int_equal(workspace_open(&workspace, folder.path), 0);
        return workspace_make_slot(&workspace, 7, uid, &slot);
}

static int set_up(void **state) {
        uid = geteuid() == 0 ? SLOT_UID : 0;
        slot = SLOT_FOLDERS_NONE;
        folder_make(&folder);
        return open_in_folder();
}

/* Nothing of a test may be left, whatever it did. */
static int tear_down(void **state) {
        unsigned left;

        slot_folders_close(&slot);
        workspace_close(&workspace);
        left = count_entries(folder.fd);
        folder_remove(&folder);
        assert_int_equal(left, 0);
        return 0;
}

static struct stat status_of(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return status;
}

static void check_fresh(void) {
        static const char *const names[] = {"work", "tmp"};
        int fds[] = {slot.work_fd, slot.tmp_fd};

        for (size_t i = 0; i < 2; i++) {
                struct stat status = status_of(fds[i]), by_name;

                assert_int_equal(status.st_mode & 07777, 0700);
                assert_int_equal(status.st_uid, uid ? uid : geteuid());
                assert_int_equal(count_entries(fds[i]), 0);
                assert_int_equal(fstatat(slot.directory_fd, names[i], &by_name, 0), 0);
                assert_int_equal(by_name.st_ino, status.st_ino);
        }
}

static void make_dirty(int fd) {
        _autoclose_ int below_fd = -1;

        file_make(fd, "file");
        assert_int_equal(symlinkat("/etc/passwd", fd, "link"), 0);
        folder_make_in(fd, "below");
        below_fd = folder_open_in(fd, "below");
        file_make(below_fd, "file");
        assert_int_equal(fchmod(below_fd, 0), 0);
}

static void test_a_slot_has_two_folders(void **state) {
        char path[256];
        struct stat status;

        check_fresh();
        /* As its worker will name it. */
        (void) snprintf(path, sizeof(path), "%s/7/work", workspace.path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_ino, status_of(slot.work_fd).st_ino);
        /* Others pass through, and see no names. */
        assert_int_equal(status_of(workspace.root_fd).st_mode & 07777, 0711);
        assert_int_equal(status_of(workspace.trash_fd).st_mode & 07777, 0700);
}

static void test_clean_folders_stay(void **state) {
        ino_t work = status_of(slot.work_fd).st_ino, tmp = status_of(slot.tmp_fd).st_ino;

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
        check_fresh();
        assert_int_equal(status_of(slot.work_fd).st_ino, work);
        assert_int_equal(status_of(slot.tmp_fd).st_ino, tmp);
}

static void test_dirty_folders_are_replaced(void **state) {
        _autoclose_ int old_fd = fcntl(slot.work_fd, F_DUPFD_CLOEXEC, 0);

        make_dirty(slot.work_fd);
        make_dirty(slot.tmp_fd);
        assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
        check_fresh();
        assert_int_not_equal(status_of(slot.work_fd).st_ino, status_of(old_fd).st_ino);
}

static void test_a_name_of_any_length_is_seen(void **state) {
        char name[256];

        for (size_t size = 1; size < sizeof(name); size += 127) {
                memset(name, '.', sizeof(name));
                name[0] = 'x';
                name[size] = '\0';
                assert_int_equal(mkdirat(slot.tmp_fd, name, 0), 0);
                assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
                check_fresh();
        }
        file_make(slot.tmp_fd, "...");
        assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
        check_fresh();
}

static void test_a_closed_folder_is_opened(void **state) {
        assert_int_equal(fchmod(slot.work_fd, 0), 0);
        assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
        check_fresh();
}

static void test_in_place(void **state) {
        ino_t work = status_of(slot.work_fd).st_ino;

        file_make(slot.work_fd, "file");
        file_make(slot.work_fd, ".hidden");
        folder_make_in(slot.tmp_fd, "folder");
        assert_int_equal(workspace_empty_slot_in_place(&workspace, &slot), 0);
        check_fresh();
        assert_int_equal(status_of(slot.work_fd).st_ino, work);
        assert_int_equal(workspace_empty_slot_in_place(&workspace, &slot), 0);
}

static void test_in_place_has_a_bound(void **state) {
        for (unsigned i = 0; i < 1000; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                file_make(slot.tmp_fd, name);
        }
        assert_int_equal(workspace_empty_slot_in_place(&workspace, &slot), -E2BIG);
        assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
        check_fresh();
}

static void test_a_slot_is_made_anew(void **state) {
        make_dirty(slot.work_fd);
        assert_int_equal(workspace_remake_slot(&workspace, 7, uid, &slot), 0);
        check_fresh();

        /* Even when it has lost its folders. */
        assert_int_equal(unlinkat(slot.directory_fd, "work", AT_REMOVEDIR), 0);
        assert_true(workspace_empty_slot(&workspace, &slot, uid) < 0);
        assert_int_equal(workspace_remake_slot(&workspace, 7, uid, &slot), 0);
        check_fresh();
}

static void test_hostile_trees(void **state) {
        _autoclose_ int wide_fd = -1;

        make_deep(slot.work_fd, 5000);
        folder_make_in(slot.tmp_fd, "wide");
        wide_fd = folder_open_in(slot.tmp_fd, "wide");
        for (unsigned i = 0; i < 20000; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(mknodat(wide_fd, name, S_IFREG | 0600, 0), 0);
        }
        assert_int_equal(fchmod(wide_fd, 0), 0);
        assert_int_equal(fchmod(slot.work_fd, 0), 0);
        if (workspace_empty_slot(&workspace, &slot, uid) < 0)
                assert_int_equal(workspace_remake_slot(&workspace, 7, uid, &slot), 0);
        check_fresh();
}

/* A slot's folder goes into the trash beside those that went there before, under any number. */
static void test_all_goes_in_the_end(void **state) {
        SlotFolders others[20];
        _autoclose_ int earlier_fd = -1;

        /* As the seventh folder that was moved there, and that has not been removed yet. */
        folder_make_in(workspace.trash_fd, "slot-7");
        earlier_fd = folder_open_in(workspace.trash_fd, "slot-7");
        file_make(earlier_fd, "file");
        workspace_close(&workspace);
        slot_folders_close(&slot);
        assert_int_equal(count_entries(folder.fd), 0);
        assert_int_equal(workspace_open(&workspace, folder.path), 0);

        for (unsigned i = 0; i < N_ELEMENTS(others); i++) {
                unsigned number = i < 7 ? i : i + 1;

                assert_int_equal(workspace_make_slot(&workspace, number, uid, &others[i]), 0);
                make_dirty(others[i].work_fd);
                assert_int_equal(workspace_remake_slot(&workspace, number, uid, &others[i]), 0);
                make_dirty(others[i].work_fd);
                slot_folders_close(&others[i]);
        }
}

static pid_t other_server;
static int other_server_fd;

/* When it is told to, it makes a root as a server would, and is killed before it can clean up. */
static void be_another_server(int order_fd) {
        Workspace own;
        SlotFolders folders;
        char byte;

        if (read(order_fd, &byte, 1) == 1 && workspace_open(&own, folder.path) == 0 &&
            workspace_make_slot(&own, 1, 0, &folders) == 0) {
                (void) mkdirat(folders.work_fd, "left", 0700);
                (void) kill(getpid(), SIGKILL);
        }
        _exit(1);
}

/* Born before there is a janitor's thread here: a copy of a process with threads may find any lock
 * of its libraries taken, for good. */
static int set_up_with_another_server(void **state) {
        int fds[2];

        uid = geteuid() == 0 ? SLOT_UID : 0;
        slot = SLOT_FOLDERS_NONE;
        folder_make(&folder);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        other_server = fork();
        assert_true(other_server >= 0);
        if (other_server == 0) {
                (void) close(fds[1]);
                be_another_server(fds[0]);
        }
        (void) close(fds[0]);
        other_server_fd = fds[1];
        return open_in_folder();
}

static void leave_a_root_behind(void) {
        int status;

        assert_int_equal(write(other_server_fd, "", 1), 1);
        assert_int_equal(waitpid(other_server, &status, 0), other_server);
        assert_true(WIFSIGNALED(status));
        close_fd(&other_server_fd);
}

static void test_roots_of_the_dead_go_and_of_the_living_stay(void **state) {
        unsigned before = count_entries(folder.fd);
        Workspace second;

        leave_a_root_behind();
        assert_int_equal(count_entries(folder.fd), before + 1);
        file_make(folder.fd, "pool-notafolder");
        folder_make_in(folder.fd, "somebody-else");

        assert_int_equal(workspace_open(&second, folder.path), 0);
        assert_int_equal(count_entries(folder.fd), before + 3);
        check_fresh();
        workspace_close(&second);
        assert_int_equal(unlinkat(folder.fd, "pool-notafolder", 0), 0);
        assert_int_equal(unlinkat(folder.fd, "somebody-else", AT_REMOVEDIR), 0);
        assert_int_equal(count_entries(folder.fd), before);
}

static void test_where_it_cannot_be(void **state) {
        Workspace other;
        char path[400];
        unsigned before = count_open_descriptors();

        assert_true(workspace_open(&other, "relative/path") < 0);
        assert_true(workspace_open(&other, "/proc/none") < 0);
        memset(path, 'x', sizeof(path) - 1);
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_true(workspace_open(&other, path) < 0);
        assert_int_equal(count_open_descriptors(), before);
}

static void test_missing_folders_are_made(void **state) {
        Workspace other;
        char path[160];

        (void) snprintf(path, sizeof(path), "%s/a/b", folder.path);
        assert_int_equal(workspace_open(&other, path), 0);
        workspace_close(&other);
        assert_int_equal(unlinkat(folder.fd, "a/b", AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(folder.fd, "a", AT_REMOVEDIR), 0);
}

static void test_no_descriptor_is_left_open(void **state) {
        unsigned before = count_open_descriptors();

        for (unsigned i = 0; i < 3; i++) {
                make_dirty(slot.work_fd);
                make_dirty(slot.tmp_fd);
                assert_int_equal(workspace_empty_slot(&workspace, &slot, uid), 0);
                file_make(slot.tmp_fd, "file");
                assert_int_equal(workspace_empty_slot_in_place(&workspace, &slot), 0);
                assert_int_equal(workspace_remake_slot(&workspace, 7, uid, &slot), 0);
        }
        /* The janitor's thread may have some open until it ends. */
        workspace_close(&workspace);
        assert_int_equal(workspace_open(&workspace, folder.path), 0);
        assert_int_equal(count_open_descriptors(), before);
}

#define workspace_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                workspace_test(test_a_slot_has_two_folders),
                workspace_test(test_clean_folders_stay),
                workspace_test(test_dirty_folders_are_replaced),
                workspace_test(test_a_name_of_any_length_is_seen),
                workspace_test(test_a_closed_folder_is_opened),
                workspace_test(test_in_place),
                workspace_test(test_in_place_has_a_bound),
                workspace_test(test_a_slot_is_made_anew),
                workspace_test(test_hostile_trees),
                workspace_test(test_all_goes_in_the_end),
                cmocka_unit_test_setup_teardown(test_roots_of_the_dead_go_and_of_the_living_stay,
                                                set_up_with_another_server, tear_down),
                workspace_test(test_where_it_cannot_be),
                workspace_test(test_missing_folders_are_made),
                workspace_test(test_no_descriptor_is_left_open),
        };

        return cmocka_run_group_tests_name("workspace", tests, NULL, NULL);
}
