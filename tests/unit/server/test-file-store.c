/* Files in a workspace that may be hostile: written as a whole or not at all, and nothing through
 * links. */

#include "workspace_scene.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "../skip.h"
#include "pool/chores.h"

static void check_at(int fd, const char *path, const char *text) {
        char content[64] = "";
        int file_fd = openat(fd, path, O_RDONLY | O_CLOEXEC);

        assert_true(file_fd >= 0);
        assert_int_equal(read(file_fd, content, sizeof(content) - 1), strlen(text));
        assert_string_equal(content, text);
        (void) close(file_fd);
}

static void test_put(void **state) {
        struct stat status;

        assert_int_equal(put("a.txt", "one"), 0);
        assert_false(last.replaced);
        check_at(scene.fd, "a.txt", "one");
        assert_int_equal(put("a.txt", "two!"), 0);
        assert_true(last.replaced);
        check_at(scene.fd, "a.txt", "two!");
        assert_int_equal(put("b/c/d.txt", ""), 0);
        check_at(scene.fd, "b/c/d.txt", "");
        assert_int_equal(fstatat(scene.fd, "a.txt", &status, 0), 0);
        assert_int_equal(status.st_mode, S_IFREG | 0644);
        assert_int_equal(fstatat(scene.fd, "b", &status, 0), 0);
        assert_int_equal(status.st_mode, S_IFDIR | 0755);
        assert_int_equal(count(scene.fd), 2);
}

static void test_put_gives_it_away(void **state) {
        Body body = body_in_memory(SLICE_LITERAL("x"));
        FilePut file = {.workspace_fd = scene.fd,
                        .path = "d/f",
                        .uid = 12345,
                        .body = &body,
                        .size = 1,
                        .disk_bytes_max = PLENTY,
                        .entries_max = 100000,
                        .room = &room};
        struct stat status;

        if (geteuid() != 0)
                skip_because("only root can give files away");
        assert_int_equal(file_put(&file), 0);
        assert_int_equal(fstatat(scene.fd, "d/f", &status, 0), 0);
        assert_int_equal(status.st_uid, 12345);
        assert_int_equal(status.st_gid, 12345);
        assert_int_equal(fstatat(scene.fd, "d", &status, 0), 0);
        assert_int_equal(status.st_uid, 12345);
}

static int put_where(const char *path, FileCondition condition) {
        Body body = body_in_memory(SLICE_LITERAL("x"));

        last = put_of(path, &body);
        last.condition = condition;
        return file_put(&last);
}

static void test_conditions(void **state) {
        const FileCondition any = {.if_match = SLICE_LITERAL("*")};
        const FileCondition none = {.if_none_match = SLICE_LITERAL("*")};
        FileCondition seen = {0};
        char etag[FILE_ETAG_MAX];
        struct stat status;

        room = (FileRoom){0};
        /* Nor is a folder made for what may not be there. */
        assert_int_equal(put_where("d/f", any), -ESTALE);
        assert_int_equal(put_where("f", any), -ESTALE);
        assert_int_equal(count(scene.fd), 0);
        assert_int_equal(put_where("f", none), 0);
        assert_int_equal(fstatat(scene.fd, "f", &status, 0), 0);
        file_etag(&status, etag);
        assert_string_equal(last.etag, etag);
        assert_int_equal(put_where("f", none), -ESTALE);
        seen.if_match = slice_of_text(etag);
        assert_int_equal(put_where("f", seen), 0);
        assert_string_not_equal(last.etag, etag);
        assert_int_equal(put_where("f", seen), -ESTALE);
        check_at(scene.fd, "f", "x");

        assert_int_equal(file_remove(scene.fd, "none", false, &seen), -ENOENT);
        assert_int_equal(file_remove(scene.fd, "f", false, &seen), -ESTALE);
        assert_int_equal(file_remove(scene.fd, "f", false, &any), 0);
        assert_int_equal(count(scene.fd), 0);
}

static int put_in_room(const char *path, uint64_t entries_max, bool is_short) {
        Body body = body_in_memory(SLICE_LITERAL("x"));

        last = put_of(path, &body);
        last.entries_max = entries_max;
        last.is_short = is_short;
        return file_put(&last);
}

static void test_no_more_files_than_may_be(void **state) {
        room = (FileRoom){0};
        assert_int_equal(put_in_room("a", 2, false), 0);
        assert_int_equal(put_in_room("b", 2, false), 0);
        assert_int_equal(put_in_room("c", 2, false), -EDQUOT);
        assert_true(last.disk_bytes == UINT64_MAX);
        /* What is there may be replaced. */
        assert_int_equal(put_in_room("a", 2, false), 0);
        room = (FileRoom){0};
        assert_int_equal(put_in_room("c", 2, false), -EDQUOT);
        assert_true(last.disk_bytes == UINT64_MAX);
}

/* Files of one form: what they find is counted once, unless somebody else has put a file there. */
static void test_a_running_sum(void **state) {
        FileRoom mine;

        room = (FileRoom){0};
        assert_int_equal(put_in_room("a", 10, false), 0);
        assert_int_equal(room.entries, 1);
        /* Of the session's own making: it is not looked for again. */
        assert_int_equal(mkdirat(scene.fd, "d", 0700), 0);
        assert_int_equal(put_in_room("b", 10, false), 0);
        assert_int_equal(room.entries, 2);
        mine = room;
        room = (FileRoom){0};
        assert_int_equal(put_in_room("c", 10, false), 0);
        assert_int_equal(room.entries, 4);
        room = mine;
        assert_int_equal(put_in_room("e", 10, false), 0);
        assert_int_equal(room.entries, 5);
}

static void test_what_would_take_long(void **state) {
        make_names(CHORE_SHORT_ENTRIES + 1);
        room = (FileRoom){0};
        assert_int_equal(put_in_room("a", 10000, true), -EBUSY);
        assert_int_equal(faccessat(scene.fd, "a", F_OK, 0), -1);
        assert_int_equal(put_in_room("a", 10000, false), 0);
        /* It is known by now. */
        assert_int_equal(put_in_room("b", 10000, true), 0);
}

/* A body that lies in a file: linked where that can be, copied where not; and parts of it. */
static void put_from(int fd, bool is_linked) {
        Body body = {.fd = fd, .size = 6};
        FilePut part = {.workspace_fd = scene.fd,
                        .path = "part",
                        .uid = (uid_t) -1,
                        .body = &body,
                        .offset = 2,
                        .size = 3,
                        .disk_bytes_max = PLENTY,
                        .entries_max = 100000,
                        .room = &room};
        struct stat from, to;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "012345", 6), 6);
        assert_int_equal(file_put(&part), 0);
        check_at(scene.fd, "part", "234");
        assert_int_equal(put_body("whole", &body, PLENTY), 0);
        check_at(scene.fd, "whole", "012345");
        assert_int_equal(fstat(fd, &from), 0);
        assert_int_equal(fstatat(scene.fd, "whole", &to, 0), 0);
        assert_int_equal(from.st_ino == to.st_ino, is_linked);
        assert_int_equal(to.st_mode, S_IFREG | 0644);
        (void) close(fd);
}

static void test_put_from_a_file(void **state) {
        put_from(openat(scene.outside_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), true);
        assert_int_equal(put("whole", "before"), 0);
        put_from(openat(scene.outside_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), true);
        put_from(memfd_create("body", MFD_CLOEXEC), false);
        assert_int_equal(count(scene.fd), 2);
}

static void test_links_are_not_followed(void **state) {
        struct stat status;

        assert_int_equal(mkdirat(scene.outside_fd, "secret", 0700), 0);
        assert_int_equal(symlinkat("../secret", scene.fd, "link"), 0);
        assert_int_equal(put("link/f", "x"), -ELOOP);
        assert_int_equal(put("link/d/f", "x"), -ELOOP);
        assert_int_equal(file_open(scene.fd, "link/f", &status), -ELOOP);
        assert_int_equal(file_open_folder(scene.fd, "link"), -ELOOP);
        assert_int_equal(file_remove(scene.fd, "link/f", true, NULL), -ELOOP);
        /* At the end it is the link that is meant, not what it leads to. */
        assert_int_equal(put("link", "x"), 0);
        assert_true(last.replaced);
        check_at(scene.fd, "link", "x");
        assert_int_equal(symlinkat("/etc/passwd", scene.fd, "passwd"), 0);
        assert_int_equal(file_open(scene.fd, "passwd", &status), -ELOOP);
        assert_int_equal(file_remove(scene.fd, "passwd", true, NULL), 0);
        assert_int_equal(fstatat(AT_FDCWD, "/etc/passwd", &status, 0), 0);
        assert_int_equal(count(openat(scene.outside_fd, "secret", O_RDONLY | O_CLOEXEC)), 0);
}

static void test_what_stands_in_the_way(void **state) {
        struct stat status;

        assert_int_equal(mkdirat(scene.fd, "folder", 0700), 0);
        assert_int_equal(put("file", "x"), 0);
        assert_int_equal(put("folder", "x"), -EISDIR);
        assert_int_equal(put("file/x", "x"), -ENOTDIR);
        assert_int_equal(file_open(scene.fd, "folder", &status), -EISDIR);
        assert_int_equal(file_open(scene.fd, "none", &status), -ENOENT);
        assert_int_equal(file_open(scene.fd, "none/none", &status), -ENOENT);
        assert_int_equal(file_open(scene.fd, "file/none", &status), -ENOTDIR);
        assert_int_equal(count(scene.fd), 2);
}

/* Opening these must not wait. */
static void test_what_is_no_file(void **state) {
        struct stat status;

        assert_int_equal(mkfifoat(scene.fd, "fifo", 0666), 0);
        assert_int_equal(mknodat(scene.fd, "socket", S_IFSOCK | 0666, 0), 0);
        assert_int_equal(file_open(scene.fd, "fifo", &status), -EINVAL);
        assert_int_equal(file_open(scene.fd, "socket", &status), -EINVAL);
        assert_int_equal(put("fifo", "x"), 0);
        check_at(scene.fd, "fifo", "x");
}

static void test_the_limit(void **state) {
        static uint8_t bytes[100000];
        Body body = body_in_memory(slice_of(bytes, sizeof(bytes)));

        assert_int_equal(put_body("a", &body, 250000), 0);
        assert_int_equal(put_body("b", &body, 250000), 0);
        assert_int_equal(put_body("c", &body, 250000), -EDQUOT);
        assert_in_range(last.disk_bytes, 200000, 250000);
        assert_int_equal(count(scene.fd), 2);
        /* What is replaced does not count. */
        assert_int_equal(put_body("b", &body, 250000), 0);
}

/* On a disk of a megabyte. */
static void test_a_full_disk(void **state) {
        static uint8_t bytes[3 << 20];
        Body body = body_in_memory(slice_of(bytes, sizeof(bytes)));
        char path[128];
        int fd = scene.fd;

        (void) snprintf(path, sizeof(path), "%s/work", scene.path);
        if (geteuid() != 0 || mount("small", path, "tmpfs", 0, "size=1m") < 0)
                skip_because("only root can mount a small disk");
        scene.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(put("a", "x"), 0);
        assert_int_equal(put_body("a", &body, PLENTY), -ENOSPC);
        check_at(scene.fd, "a", "x");
        assert_int_equal(put_body("b", &body, PLENTY), -ENOSPC);
        assert_int_equal(count(scene.fd), 1);
        body.size = body.memory.size = 900000;
        assert_int_equal(put_body("b", &body, PLENTY), 0);
        (void) close(scene.fd);
        scene.fd = fd;
        assert_int_equal(umount2(path, MNT_DETACH), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                scene_test(test_put),
                scene_test(test_put_gives_it_away),
                scene_test(test_conditions),
                scene_test(test_put_from_a_file),
                scene_test(test_links_are_not_followed),
                scene_test(test_what_stands_in_the_way),
                scene_test(test_what_is_no_file),
                scene_test(test_the_limit),
                scene_test(test_no_more_files_than_may_be),
                scene_test(test_a_running_sum),
                scene_test(test_what_would_take_long),
                scene_test(test_a_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
