/* Control groups of either version, as this machine has them: limits bind, kills leave nobody, and
 * nothing of a server stays. */

#include "pool/cgroup.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "folders.h"

#define MIB (1ULL << 20)

static CgroupTree tree;
static SlotCgroup group;

/* What a child does in the group; its result is its exit status. */
typedef int (*ChildMain)(const void *argument);

static int set_up_tree(void **state) {
        group = SLOT_CGROUP_NONE;
        assert_int_equal(cgroup_tree_open(&tree), 0);
        return 0;
}

static int set_up(void **state) {
        (void) set_up_tree(state);
        if (tree.version != 0)
                assert_int_equal(cgroup_make_slot(&tree, 3, 64 * MIB, 8, &group), 0);
        return 0;
}

static void need_tree(void) {
        if (tree.version == 0)
                skip_because("no control groups here: %s: %s", tree.tried, strerror(tree.error));
}

/* Nothing may be left in the server's group but what others have made. */
static int tear_down(void **state) {
        char names[_CGROUP_HIERARCHIES][32];
        int own_fds[_CGROUP_HIERARCHIES] = {-1, -1};
        int left = 0;

        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                if (tree.folders[i].fd < 0)
                        continue;
                (void) strcpy(names[i], tree.folders[i].name);
                own_fds[i] = dup(tree.folders[i].own_fd);
        }
        if (slot_cgroup_exists(&group))
                cgroup_remove_slot(&tree, 3, &group);
        cgroup_tree_close(&tree);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++) {
                left += own_fds[i] >= 0 && faccessat(own_fds[i], names[i], F_OK, 0) == 0;
                close_fd(&own_fds[i]);
        }
        assert_int_equal(left, 0);
        return 0;
}

static pid_t start(ChildMain child, const void *argument) {
        struct clone_args args = {.exit_signal = SIGCHLD};
        pid_t pid;

        if (group.directory_fd >= 0) {
                args.flags = CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t) group.directory_fd;
        }
        pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
        assert_true(pid >= 0);
        if (pid == 0) {
                /* As those of a server have none of its descriptors, they hold none of its locks.
                 */
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (int i = 0; i < _CGROUP_HIERARCHIES; i++)
                        close_fd(&tree.folders[i].fd);
                if (group.memory_procs_fd >= 0 && (write(group.memory_procs_fd, "0", 1) != 1 ||
                                                   write(group.pids_procs_fd, "0", 1) != 1))
                        _exit(99);
                _exit(child(argument));
        }
        return pid;
}

static int wait_for(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static int run(ChildMain child, const void *argument) {
        return wait_for(start(child, argument));
}

static int write_pages(const void *argument) {
        size_t size = *(const size_t *) argument;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return 1;
        for (size_t i = 0; i < size; i += 4096)
                memory[i] = 1;
        return 0;
}

/* Until it may not any more. */
static int fork_much(const void *argument) {
        for (int i = 0; i < 100; i++) {
                pid_t pid = fork();

                if (pid == 0) {
                        (void) pause();
                        _exit(0);
                }
                if (pid < 0)
                        return errno == EAGAIN ? 0 : 2;
        }
        return 1;
}

static void check_memory(uint64_t limit, size_t size, bool killed) {
        int status;

        assert_int_equal(cgroup_limit_memory(&group, limit), 0);
        assert_int_equal(group.memory_bytes, limit);
        status = run(write_pages, &size);
        assert_int_equal(WIFSIGNALED(status), killed);
        assert_int_equal(killed ? WTERMSIG(status) : WEXITSTATUS(status), killed ? SIGKILL : 0);
        assert_int_equal(cgroup_was_out_of_memory(&group), killed);
        assert_false(cgroup_was_out_of_memory(&group));
}

static void test_memory_is_limited(void **state) {
        need_tree();
        check_memory(64 * MIB, 32 * MIB, false);
        check_memory(64 * MIB, 80 * MIB, true);
        check_memory(64 * MIB, 32 * MIB, false);
        /* Up and down again, run by run. */
        check_memory(128 * MIB, 80 * MIB, false);
        check_memory(24 * MIB, 32 * MIB, true);
}

static void wait_until_empty(void) {
        int r = 0;

        for (int i = 0; i < 5000 && r == 0; i++) {
                (void) usleep(1000);
                r = cgroup_is_empty(&tree, 3);
        }
        assert_int_equal(r, 1);
}

/* The grandchildren outlive the child. */
static void test_processes_are_limited_and_killed(void **state) {
        need_tree();
        assert_int_equal(cgroup_is_empty(&tree, 3), 1);
        assert_int_equal(run(fork_much, NULL), 0);
        assert_int_equal(cgroup_is_empty(&tree, 3), 0);
        cgroup_kill(&tree, 3, &group);
        wait_until_empty();
        /* The limit is as it was. */
        assert_int_equal(run(fork_much, NULL), 0);
        cgroup_kill(&tree, 3, &group);
        wait_until_empty();
        cgroup_kill(&tree, 3, &group);
}

/* Each ends after it has made two more. */
static int fork_for_ever(const void *argument) {
        for (;;) {
                pid_t pid = fork();

                if (pid == 0)
                        pid = fork();
                if (pid > 0)
                        _exit(0);
        }
}

static void test_a_fork_bomb_is_killed(void **state) {
        need_tree();
        (void) wait_for(start(fork_for_ever, NULL));
        cgroup_kill(&tree, 3, &group);
        wait_until_empty();
}

/* Out of memory in one of several processes. */
static int write_pages_in_children(const void *argument) {
        size_t size = 30 * MIB;

        for (int i = 0; i < 4; i++) {
                if (fork() == 0) {
                        (void) write_pages(&size);
                        (void) pause();
                }
        }
        while (wait(NULL) < 0 && errno == EINTR)
                ;
        return 0;
}

static void test_processes_share_the_limit(void **state) {
        need_tree();
        (void) run(write_pages_in_children, NULL);
        assert_true(cgroup_was_out_of_memory(&group));
        cgroup_kill(&tree, 3, &group);
        wait_until_empty();
}

/* A server that is killed leaves its groups with processes in them. */
static void test_what_a_killed_server_leaves_is_removed(void **state) {
        char name[32];
        int pipes[2];
        pid_t server;

        need_tree();
        if (tree.moved)
                skip_because("another server cannot divide a group that this one lives in");
        assert_int_equal(pipe(pipes), 0);
        server = fork();
        if (server == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) set_up(NULL);
                (void) start(fork_much, NULL);
                if (tree.version == 0 ||
                    write(pipes[1], tree.folders[0].name, sizeof(name)) != sizeof(name))
                        _exit(1);
                (void) pause();
        }
        assert_int_equal(read(pipes[0], name, sizeof(name)), sizeof(name));
        close(pipes[0]);
        close(pipes[1]);

        /* While it lives, nobody takes it for stale. */
        cgroup_remove_slot(&tree, 3, &group);
        cgroup_tree_close(&tree);
        (void) set_up(NULL);
        assert_int_equal(faccessat(tree.folders[0].own_fd, name, F_OK, 0), 0);

        assert_int_equal(kill(server, SIGKILL), 0);
        (void) wait_for(server);
        cgroup_remove_slot(&tree, 3, &group);
        /* Its children hold the lock, too, until the signal for its death has reached them. */
        for (int i = 0; i < 500; i++) {
                cgroup_tree_close(&tree);
                (void) set_up(NULL);
                if (faccessat(tree.folders[0].own_fd, name, F_OK, 0) < 0)
                        break;
                (void) usleep(10000);
        }
        assert_int_equal(faccessat(tree.folders[0].own_fd, name, F_OK, 0), -1);
}

/* --- none --- */

static void test_there_are_none(void **state) {
        CgroupFiles nowhere = {"/nonexistent/cgroup", "/nonexistent/mountinfo"};
        CgroupTree other;

        assert_int_equal(cgroup_tree_open_at(&nowhere, &other), 0);
        assert_int_equal(other.version, 0);
        assert_int_equal(other.error, ENOENT);
        assert_non_null(other.tried);
        cgroup_tree_close(&other);
}

/* Folders that are none of the kernel's stand for groups that refuse: a/ offers the controllers, b/
 * does not. */
static void check_refused(const char *own, const char *mounts, int error, const char *tried) {
        char own_path[256], mounts_path[256];
        CgroupFiles files = {own_path, mounts_path};
        CgroupTree other;
        Folder folder;

        folder_make(&folder);
        (void) snprintf(own_path, sizeof(own_path), "%s/own", folder.path);
        (void) snprintf(mounts_path, sizeof(mounts_path), "%s/mounts", folder.path);
        file_write(folder.fd, "own", own, strlen(own));
        folder_make_in(folder.fd, "a");
        folder_make_in(folder.fd, "b");
        file_write(folder.fd, "a/cgroup.controllers", "cpu memory pids\n", 16);
        file_write(folder.fd, "b/cgroup.controllers", "cpu memory\n", 11);
        if (mounts) {
                file_write(folder.fd, "mounts", mounts, strlen(mounts));
        } else {
                char line[512];
                int n = snprintf(line, sizeof(line), "1 1 0:1 / %s rw - cgroup2 c rw\n",
                                 folder.path);

                file_write(folder.fd, "mounts", line, (size_t) n);
        }

        assert_int_equal(cgroup_tree_open_at(&files, &other), 0);
        assert_int_equal(other.version, 0);
        assert_int_equal(other.error, error);
        assert_non_null(strstr(other.tried, tried));
        for (int i = 0; i < _CGROUP_HIERARCHIES; i++)
                assert_true(other.folders[i].fd < 0 && other.folders[i].own_fd < 0);
        folder_remove(&folder);
}

static void test_they_may_not_be_divided(void **state) {
        check_refused("0::/b\n", NULL, ENOENT, "cgroup.controllers");
        check_refused("0::/a\n", NULL, ENOENT, "subtree_control");
        check_refused("4:memory:/\n3:pids:/\n",
                      "1 1 0:1 / /proc/sys rw - cgroup c rw,memory\n"
                      "2 1 0:2 / /proc/sys rw - cgroup c rw,pids\n",
                      EXDEV, "hierarchies of their own");
        /* As in a container, by nobody: sysfs takes no new folders, and may be read-only. */
        check_refused("4:memory:/\n3:pids:/\n",
                      "1 1 0:1 / /sys/kernel rw - cgroup c rw,memory\n"
                      "2 1 0:2 / /sys/devices rw - cgroup c rw,pids\n",
                      mkdir("/sys/kernel/hatchery", 0700) < 0 ? errno : 0, "make a control group");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_memory_is_limited, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_processes_are_limited_and_killed, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_a_fork_bomb_is_killed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_processes_share_the_limit, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_a_killed_server_leaves_is_removed, set_up,
                                                tear_down),
                cmocka_unit_test(test_there_are_none),
                cmocka_unit_test(test_they_may_not_be_divided),
        };

        /* Of the children's children, none goes to another. */
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
