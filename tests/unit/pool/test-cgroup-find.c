/* Where a process's control groups are, as the two files of /proc say it on hosts and in
 * containers. */

#include "pool/cgroup_find.h"

#include "folders.h"

static Folder folder;
static char own_path[256], mounts_path[256];
static CgroupFiles files = {own_path, mounts_path};

static int set_up(void **state) {
        folder_make(&folder);
        (void) snprintf(own_path, sizeof(own_path), "%s/own", folder.path);
        (void) snprintf(mounts_path, sizeof(mounts_path), "%s/mounts", folder.path);
        return 0;
}

static int tear_down(void **state) {
        folder_remove(&folder);
        return 0;
}

static void write_own(const char *text) {
        file_write(folder.fd, "own", text, strlen(text));
}

/* One line of mountinfo, of a mount point in the test's folder. */
static void write_mount(const char *root, const char *point, const char *rest) {
        char line[1024];

        (void) snprintf(line, sizeof(line),
                        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                        "31 22 0:28 %s %s/%s rw,nosuid shared:9 master:1 - %s\n",
                        root, folder.path, point, rest);
        file_write(folder.fd, "mounts", line, strlen(line));
}

static void expect(const char *controller, const char *below) {
        char path[512], expected[512];

        (void) snprintf(expected, sizeof(expected), "%s/%s", folder.path, below);
        assert_int_equal(cgroup_find(&files, controller, path, sizeof(path)), 0);
        assert_string_equal(path, expected);
}

static void expect_none(const char *controller) {
        char path[512];

        assert_int_equal(cgroup_find(&files, controller, path, sizeof(path)), -ENOENT);
}

static void test_on_a_host(void **state) {
        write_own("0::/system.slice/hatchery.service\n");
        write_mount("/", "fs", "cgroup2 cgroup2 rw,nsdelegate");
        folder_make_in(folder.fd, "fs");
        folder_make_in(folder.fd, "fs/system.slice");
        expect_none(NULL); /* not there */
        folder_make_in(folder.fd, "fs/system.slice/hatchery.service");
        expect(NULL, "fs/system.slice/hatchery.service");
        expect_none("memory");
}

static void test_in_a_namespace(void **state) {
        write_own("0::/\n");
        write_mount("/", "fs", "cgroup2 cgroup rw");
        folder_make_in(folder.fd, "fs");
        expect(NULL, "fs");
}

/* The host's names, but only the container's own part is mounted. */
static void test_a_mount_of_a_part(void **state) {
        write_own("0::/docker/12ab/inner\n");
        write_mount("/docker/12ab", "fs", "cgroup2 cgroup rw");
        folder_make_in(folder.fd, "fs");
        folder_make_in(folder.fd, "fs/inner");
        expect(NULL, "fs/inner");
        write_own("0::/docker/12abcd\n");
        expect_none(NULL);
        write_own("0::/docker/12ab\n");
        expect(NULL, "fs");
}

static void test_outside_of_the_namespace(void **state) {
        write_own("0::/../sibling\n");
        write_mount("/", "fs", "cgroup2 cgroup rw");
        folder_make_in(folder.fd, "fs");
        folder_make_in(folder.fd, "sibling");
        expect_none(NULL);
}

static void test_version_1(void **state) {
        write_own("12:name=systemd:/a\n5:cpu,cpuacct:/b\n4:memory:/has:colon\n0::/u\n");
        write_mount("/", "fs", "cgroup cgroup rw,memory");
        folder_make_in(folder.fd, "fs");
        folder_make_in(folder.fd, "fs/has:colon");
        folder_make_in(folder.fd, "fs/b");
        expect("memory", "fs/has:colon");
        expect_none("pids");    /* no such hierarchy */
        expect_none("cpuacct"); /* not mounted */
        expect_none("mem");
        expect_none(NULL);
        write_mount("/", "fs", "cgroup cgroup rw,cpu,cpuacct");
        expect("cpuacct", "fs/b");
}

static void test_escapes(void **state) {
        write_own("0::/\n");
        write_mount("/", "a\\040b\\134c", "cgroup2 cgroup rw");
        folder_make_in(folder.fd, "a b\\c");
        expect(NULL, "a b\\c");
}

static void test_nonsense(void **state) {
        static const char mounts[] = "1\n\n - - - -\n1 2 3 4 5 6 -\n1 2 3 /\\ /\\0 6 - cgroup2 x y";
        char path[8];

        expect_none(NULL); /* no files */
        write_own("");
        file_write(folder.fd, "mounts", "", 0);
        expect_none(NULL);
        write_own("0\n\n:::\n0:\n0::/");
        file_write(folder.fd, "mounts", mounts, sizeof(mounts) - 1);
        expect_none(NULL);
        write_mount("/", "fs", "cgroup2 cgroup rw");
        folder_make_in(folder.fd, "fs");
        assert_int_equal(cgroup_find(&files, NULL, path, sizeof(path)), -ENAMETOOLONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_on_a_host, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_in_a_namespace, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_mount_of_a_part, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_outside_of_the_namespace, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_version_1, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
