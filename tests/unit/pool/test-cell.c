/* Cells: the moves of one, its keeper, and its folders through their descriptor. */

#include "pool/cell.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "folders.h"

/* --- the table --- */

typedef struct Step {
        CellEvent event;
        CellState state;
        CellAction action;
} Step;

#define check_steps(steps)                                                                         \
        do {                                                                                       \
                CellState state_ = CELL_ABSENT;                                                    \
                for (size_t i_ = 0; i_ < N_ELEMENTS(steps); i_++) {                                \
                        CellMove move_ = cell_next(state_, (steps)[i_].event);                     \
                        assert_string_equal(cell_state_name(move_.next),                           \
                                            cell_state_name((steps)[i_].state));                   \
                        assert_int_equal(move_.action, (steps)[i_].action);                        \
                        state_ = move_.next;                                                       \
                }                                                                                  \
        } while (0)

static void test_a_life(void **state) {
        static const Step steps[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                     {CELL_EV_NAMED, CELL_NAMED, CELL_WATCH},
                                     {CELL_EV_MADE, CELL_READY, CELL_TAKE},
                                     {CELL_EV_END, CELL_ENDING, CELL_KILL},
                                     {CELL_EV_EXIT, CELL_ABSENT, CELL_FORGET}};

        check_steps(steps);
}

static void test_a_keeper_that_fails(void **state) {
        static const Step not_started[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                           {CELL_EV_FAILED, CELL_ABSENT, CELL_FORGET}};
        static const Step fails[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                     {CELL_EV_NAMED, CELL_NAMED, CELL_WATCH},
                                     {CELL_EV_FAILED, CELL_ENDING, CELL_KILL},
                                     {CELL_EV_EXIT, CELL_ABSENT, CELL_FORGET}};
        static const Step silent[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                      {CELL_EV_NAMED, CELL_NAMED, CELL_WATCH},
                                      {CELL_EV_EXIT, CELL_ABSENT, CELL_FORGET}};

        check_steps(not_started);
        check_steps(fails);
        check_steps(silent);
}

static void test_a_maker_that_dies(void **state) {
        static const Step unnamed[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                       {CELL_EV_LOST, CELL_ABSENT, CELL_FORGET_UNNAMED}};
        static const Step named[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                     {CELL_EV_NAMED, CELL_NAMED, CELL_WATCH},
                                     {CELL_EV_LOST, CELL_ENDING, CELL_KILL}};
        static const Step ready[] = {{CELL_EV_ASK, CELL_ASKED, CELL_AWAIT},
                                     {CELL_EV_NAMED, CELL_NAMED, CELL_WATCH},
                                     {CELL_EV_MADE, CELL_READY, CELL_TAKE},
                                     {CELL_EV_LOST, CELL_READY, CELL_DO_NOTHING}};

        check_steps(unnamed);
        check_steps(named);
        check_steps(ready);
}

/* A maker that says what it may not say is not believed, whatever the state. */
static void test_reports_out_of_place(void **state) {
        for (CellState from = CELL_ABSENT; from < _CELL_STATES; from++) {
                for (CellEvent event = CELL_EV_NAMED; event <= CELL_EV_LOST; event++) {
                        CellMove move = cell_next(from, event);

                        assert_int_not_equal(move.action, CELL_FORBIDDEN);
                        if (move.action == CELL_REFUSE)
                                assert_int_equal(move.next, from);
                }
        }
        assert_int_equal(cell_next(CELL_ABSENT, CELL_EV_MADE).action, CELL_REFUSE);
        assert_int_equal(cell_next(CELL_READY, CELL_EV_MADE).action, CELL_REFUSE);
        assert_int_equal(cell_next(CELL_READY, CELL_EV_NAMED).action, CELL_REFUSE);
        assert_int_equal(cell_next(CELL_NAMED, CELL_EV_NAMED).action, CELL_REFUSE);
        assert_int_equal(cell_next(CELL_ASKED, CELL_EV_MADE).action, CELL_REFUSE);
}

static void test_all_have_names(void **state) {
        for (CellState i = CELL_ABSENT; i < _CELL_STATES; i++)
                assert_true(strlen(cell_state_name(i)) > 0);
        for (CellEvent i = CELL_EV_ASK; i < _CELL_EVENTS; i++)
                assert_true(strlen(cell_event_name(i)) > 0);
}

/* --- the keeper --- */

static void test_a_keeper_is_killed_and_waited_for(void **state) {
        Cell cell = CELL_NONE;
        pid_t pid = fork();
        struct pollfd poll_fd = {.events = POLLIN};

        if (pid == 0) {
                for (;;)
                        (void) pause();
        }
        assert_int_equal(cell_watch_keeper(&cell, pid), 0);
        assert_int_equal(cell_wait_keeper(&cell), 0);
        cell_kill_keeper(&cell);
        poll_fd.fd = cell.keeper_pidfd;
        assert_int_equal(poll(&poll_fd, 1, 60000), 1);
        assert_int_equal(cell_wait_keeper(&cell), 1);
        cell_kill_keeper(&cell); /* harmless now */
        close_fd(&cell.keeper_pidfd);
}

static void test_no_keeper_is_killed(void **state) {
        Cell cell = CELL_NONE;

        cell_kill_keeper(&cell); /* pid 0 would be our own process group */
}

/* --- the folders: on a tmpfs of their own, in namespaces of a child --- */

#define SIZE     (64U << 20)
#define INODES   4096
#define NO_TMPFS 77

static Cell cell;
static int work_fd;

static void write_text(const char *path, const char *text) {
        _autoclose_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, text, strlen(text)) < 0)
                (void) fprintf(stderr, "%s: %s\n", path, strerror(errno));
}

/* As a plain user as cells have it: a user namespace first. */
static bool enter_namespaces(void) {
        char map[64];
        uid_t uid = geteuid();
        gid_t gid = getegid();

        if (uid == 0)
                return unshare(CLONE_NEWNS) == 0;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return false;
        write_text("/proc/self/setgroups", "deny");
        (void) snprintf(map, sizeof(map), "%u %u 1", uid, uid);
        write_text("/proc/self/uid_map", map);
        (void) snprintf(map, sizeof(map), "%u %u 1", gid, gid);
        write_text("/proc/self/gid_map", map);
        return true;
}

static bool make_folders(void) {
        char path[] = "/tmp/hatchery-cell-XXXXXX", options[64];
        bool mounted;

        if (!enter_namespaces() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            !mkdtemp(path))
                return false;
        (void) snprintf(options, sizeof(options), "size=%u,nr_inodes=%u,mode=0711", SIZE, INODES);
        mounted = mount("cell", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
        cell = CELL_NONE;
        cell.fds[CELL_FD_DIRECTORY] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void) umount2(path, MNT_DETACH);
        (void) rmdir(path);
        if (!mounted)
                return false;
        folder_make_in(cell.fds[CELL_FD_DIRECTORY], "work");
        folder_make_in(cell.fds[CELL_FD_DIRECTORY], "tmp");
        folder_make_in(cell.fds[CELL_FD_DIRECTORY], "shm");
        work_fd = folder_open_in(cell.fds[CELL_FD_DIRECTORY], "work");
        return cell_measure(&cell, &cell.clean_bytes, &cell.clean_inodes) == 0;
}

/* In a child, whose asserts end it with another status: cmocka's own would go on with its tests. */
static void in_a_child(void (*body)(void)) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                if (!make_folders())
                        _exit(NO_TMPFS);
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NO_TMPFS)
                skip_because("no tmpfs can be mounted here");
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define expect(condition)                                                                          \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        (void) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

static void expect_clean(void) {
        uint64_t bytes, inodes;

        expect(cell_measure(&cell, &bytes, &inodes) == 0);
        expect(bytes == cell.clean_bytes && inodes == cell.clean_inodes);
}

static void fill(int folder_fd, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                file_make(folder_fd, name);
        }
}

static void body_clean(void) {
        expect(cell.clean_inodes >= 4);
        expect(cell_empty(&cell, false) == 0);
        expect_clean();
}

static void body_files(void) {
        _autoclose_ int shm_fd = folder_open_in(cell.fds[CELL_FD_DIRECTORY], "shm");
        _autoclose_ int tmp_fd = folder_open_in(cell.fds[CELL_FD_DIRECTORY], "tmp");
        uint64_t bytes, inodes;

        fill(work_fd, 20);
        fill(tmp_fd, 20);
        fill(shm_fd, 20);
        make_deep(tmp_fd, 5);
        expect(symlinkat("/etc/passwd", work_fd, "link") == 0);
        expect(mkfifoat(work_fd, "pipe", 0600) == 0);
        expect(cell_measure(&cell, &bytes, &inodes) == 0);
        expect(bytes >= 60 * 4096 && inodes == cell.clean_inodes + 60 + 10 + 2);
        expect(cell_empty(&cell, false) == 0);
        expect_clean();
}

static void body_many(void) {
        fill(work_fd, 1000);
        expect(cell_empty(&cell, false) == -E2BIG);
}

static void body_large(void) {
        _autoclose_ int fd = openat(work_fd, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        expect(fallocate(fd, 0, 0, 16 << 20) == 0);
        expect(cell_empty(&cell, false) == -E2BIG);
}

static void body_deep(void) {
        make_deep(work_fd, 50);
        expect(cell_empty(&cell, false) == -E2BIG);
}

static void body_closed(void) {
        _autoclose_ int fd = -1;

        fill(work_fd, 3);
        expect(fchmodat(cell.fds[CELL_FD_DIRECTORY], "work", 0, 0) == 0);
        expect(fchmodat(cell.fds[CELL_FD_DIRECTORY], "tmp", 0, 0) == 0);
        fd = cell_open_folder(&cell, "work");
        expect(fd >= 0 && count_entries(fd) == 3);
        expect(cell_empty(&cell, false) == 0);
        expect(faccessat(cell.fds[CELL_FD_DIRECTORY], "tmp", R_OK | W_OK | X_OK, 0) == 0);
        expect_clean();
        /* Without a file, too. */
        expect(fchmodat(cell.fds[CELL_FD_DIRECTORY], "shm", 0, 0) == 0);
        expect(cell_empty(&cell, false) == 0);
        expect(faccessat(cell.fds[CELL_FD_DIRECTORY], "shm", R_OK | W_OK | X_OK, 0) == 0);
}

static void set_times(const char *name, time_t seconds) {
        struct timespec times[2] = {{.tv_sec = seconds, .tv_nsec = 4711}, {.tv_sec = seconds}};

        expect(utimensat(cell.fds[CELL_FD_DIRECTORY], name, times, 0) == 0);
}

static void expect_no_times(const char *name) {
        struct stat status;

        expect(fstatat(cell.fds[CELL_FD_DIRECTORY], name, &status, 0) == 0);
        expect(status.st_mtim.tv_sec == 0 && status.st_mtim.tv_nsec == 0);
        expect(status.st_atim.tv_sec == 0 && status.st_atim.tv_nsec == 0);
}

/* Numbers for the next run to read, which take neither a byte nor an inode. */
static void body_times(void) {
        set_times("tmp", 123456789);
        set_times("shm", -123456789);
        expect(cell_empty(&cell, false) == 0);
        expect_no_times("work");
        expect_no_times("tmp");
        expect_no_times("shm");
        /* With a file, too. */
        fill(work_fd, 1);
        set_times("work", 123456789);
        expect(cell_empty(&cell, false) == 0);
        expect_no_times("work");
}

/* An open file keeps its bytes when its name has gone. */
static void body_nameless(void) {
        _autoclose_ int fd = openat(work_fd, "open", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        expect(write(fd, "x", 1) == 1);
        expect(cell_empty(&cell, false) == -ENOTEMPTY);
        expect(cell_empty(&cell, true) == 0);
        close_fd(&fd);
        expect(cell_empty(&cell, false) == 0);
        expect_clean();
}

#define folder_test(name)                                                                          \
        static void test_##name(void **state) {                                                    \
                in_a_child(body_##name);                                                           \
        }
folder_test(clean) folder_test(files) folder_test(many) folder_test(large) folder_test(deep)
        folder_test(closed) folder_test(times) folder_test(nameless)

                int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_life),
                cmocka_unit_test(test_a_keeper_that_fails),
                cmocka_unit_test(test_a_maker_that_dies),
                cmocka_unit_test(test_reports_out_of_place),
                cmocka_unit_test(test_all_have_names),
                cmocka_unit_test(test_a_keeper_is_killed_and_waited_for),
                cmocka_unit_test(test_no_keeper_is_killed),
                cmocka_unit_test(test_clean),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_deep),
                cmocka_unit_test(test_closed),
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_nameless),
        };

        return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}
