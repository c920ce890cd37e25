#pragma once
/*
 * workspace_scene: a workspace, and a folder outside of it. To be included once in a program.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/file_store.h"

#define PLENTY (1ULL << 30)

typedef struct Scene {
        char path[64];
        int outside_fd, fd; /* …/ and …/work */
} Scene;

static Scene scene;

static inline int set_up(void **state) {
        (void) snprintf(scene.path, sizeof(scene.path), "/tmp/test-workspace-XXXXXX");
        if (!mkdtemp(scene.path))
                return -1;
        scene.outside_fd = open(scene.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mkdirat(scene.outside_fd, "work", 0700) < 0)
                return -1;
        scene.fd = openat(scene.outside_fd, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return scene.fd < 0 ? -1 : 0;
}

static inline int tear_down(void **state) {
        char command[128];

        (void) close(scene.fd);
        (void) close(scene.outside_fd);
        (void) snprintf(command, sizeof(command), "rm -rf %s", scene.path);
        return system(command);
}

static FilePut last;
static FileRoom room;

/* Of the test's own user, in the room that is there; what a test varies it changes. */
static inline FilePut put_of(const char *path, const Body *body) {
        return (FilePut){
                .workspace_fd = scene.fd,
                .path = path,
                .uid = (uid_t) -1,
                .body = body,
                .size = body->size,
                .disk_bytes_max = PLENTY,
                .entries_max = 100000,
                .room = &room,
        };
}

static inline int put_body(const char *path, const Body *body, uint64_t disk_bytes_max) {
        room.is_known = false;
        last = put_of(path, body);
        last.disk_bytes_max = disk_bytes_max;
        return file_put(&last);
}

static inline int put(const char *path, const char *text) {
        Body body = body_in_memory(slice_of_text(text));

        return put_body(path, &body, PLENTY);
}

static inline unsigned count(int fd) {
        int own_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fdopendir(own_fd);
        unsigned n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        (void) closedir(directory);
        return n - 2;
}

/* Names of one file: where many files have just been removed, ext4 takes milliseconds to find an
 * inode for each new one (recently_deleted()). */
static inline void make_names(unsigned n) {
        assert_int_equal(mknodat(scene.fd, "0", S_IFREG | 0600, 0), 0);
        for (unsigned i = 1; i < n; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(linkat(scene.fd, "0", scene.fd, name, 0), 0);
        }
}

#define scene_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
