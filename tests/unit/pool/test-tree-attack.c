/* Trees are copied while somebody works against it. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "folders.h"
#include "pool/tree.h"

#define PLENTY (1ULL << 40)

static Folder folder;

static int set_up(void **state) {
        folder_make(&folder);
        return 0;
}

static int tear_down(void **state) {
        folder_remove(&folder);
        return 0;
}

typedef struct Attack {
        int fd; /* of the tree that is copied, or to which */
        _Atomic bool ends;
        _Atomic unsigned rounds;
} Attack;

/* Folder, file and link take one another's place, again and again. */
static void *swap_for_links(void *argument) {
        Attack *attack = argument;

        while (!atomic_load(&attack->ends)) {
                for (int i = 0; i < 2; i++) {
                        (void) renameat2(attack->fd, "below", attack->fd, "folder-link",
                                         RENAME_EXCHANGE);
                        (void) renameat2(attack->fd, "file", attack->fd, "file-link",
                                         RENAME_EXCHANGE);
                        (void) renameat2(attack->fd, "file", attack->fd, "fifo", RENAME_EXCHANGE);
                }
                atomic_fetch_add(&attack->rounds, 1);
        }
        return NULL;
}

static void make_tempting(int fd) {
        _autoclose_ int below_fd = -1;

        folder_make_in(fd, "below");
        below_fd = folder_open_in(fd, "below");
        file_make(below_fd, "own");
        file_make(fd, "file");
        assert_int_equal(symlinkat("../outside", fd, "folder-link"), 0);
        assert_int_equal(symlinkat("../outside/secret", fd, "file-link"), 0);
        assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
}

/* No regular file below says "secret". */
static void check_no_secret(int fd) {
        static const char *const names[] = {"file", "file-link", "fifo", "below/secret",
                                            "folder-link/secret"};

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                struct stat status;
                char content[16] = "";
                _autoclose_ int file_fd = -1;

                if (fstatat(fd, names[i], &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(status.st_mode) || strchr(names[i], '/'))
                        continue;
                file_fd = openat(fd, names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                assert_true(read(file_fd, content, sizeof(content) - 1) >= 0);
                assert_string_not_equal(content, "secret");
        }
        for (size_t i = 0; i < 2; i++) {
                const char *name = i ? "folder-link" : "below";
                _autoclose_ int below_fd =
                        openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                assert_true(below_fd < 0 || faccessat(below_fd, "secret", F_OK, 0) < 0);
        }
}

static void test_a_tree_that_changes_while_it_is_copied(void **state) {
        _autoclose_ int from_fd = -1, outside_fd = -1;
        Attack attack = {0};
        pthread_t thread;

        folder_make_in(folder.fd, "outside");
        outside_fd = folder_open_in(folder.fd, "outside");
        file_make(outside_fd, "secret");
        folder_make_in(folder.fd, "from");
        from_fd = folder_open_in(folder.fd, "from");
        make_tempting(from_fd);
        attack.fd = from_fd;
        assert_int_equal(pthread_create(&thread, NULL, swap_for_links, &attack), 0);
        for (unsigned i = 0; i < 3000 || atomic_load(&attack.rounds) < 100; i++) {
                _autoclose_ int to_fd = -1;
                uint64_t bytes, entries;

                folder_make_in(folder.fd, "to");
                to_fd = folder_open_in(folder.fd, "to");
                assert_int_equal(tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 100), 0);
                check_no_secret(to_fd);
                assert_int_equal(tree_measure(from_fd, TREE_ENTRIES_MAX, &bytes, &entries), 0);
                assert_in_range(entries, 4, 7);
                remove_tree(folder.fd, "to");
        }
        atomic_store(&attack.ends, true);
        (void) pthread_join(thread, NULL);
}

/* The first member's process may reach where a copy is made, as both have one uid. */
static void *put_links(void *argument) {
        Attack *attack = argument;

        while (!atomic_load(&attack->ends)) {
                (void) unlinkat(attack->fd, "below", AT_REMOVEDIR);
                (void) renameat(attack->fd, "below", attack->fd, "moved");
                (void) !symlinkat("../outside", attack->fd, "below");
                (void) !symlinkat("../outside/new", attack->fd, "file");
                (void) unlinkat(attack->fd, "file", 0);
                (void) unlinkat(attack->fd, "below", 0);
                atomic_fetch_add(&attack->rounds, 1);
        }
        return NULL;
}

static void test_a_copy_that_is_led_astray(void **state) {
        _autoclose_ int from_fd = -1, outside_fd = -1;

        folder_make_in(folder.fd, "outside");
        outside_fd = folder_open_in(folder.fd, "outside");
        folder_make_in(folder.fd, "from");
        from_fd = folder_open_in(folder.fd, "from");
        make_tempting(from_fd);
        for (unsigned i = 0; i < 100; i++) {
                _autoclose_ int to_fd = -1;
                Attack attack = {0};
                pthread_t thread;
                int r;

                folder_make_in(folder.fd, "to");
                to_fd = folder_open_in(folder.fd, "to");
                attack.fd = to_fd;
                assert_int_equal(pthread_create(&thread, NULL, put_links, &attack), 0);
                while (atomic_load(&attack.rounds) < 3)
                        (void) sched_yield();
                /* It may fail, and leave something out: it never leaves the tree. */
                r = tree_copy(from_fd, to_fd, (uid_t) -1, PLENTY, 100);
                atomic_store(&attack.ends, true);
                (void) pthread_join(thread, NULL);
                assert_true(r <= 0);
                assert_int_equal(count_entries(outside_fd), 0);
                remove_tree(folder.fd, "to");
        }
}

/* A file that grows while it is copied costs no more than the copy may have. */
static void *grow(void *argument) {
        _autofree_ char *bytes = calloc(1, 1 << 16);
        Attack *attack = argument;
        uint64_t written = 0;

        while (!atomic_load(&attack->ends)) {
                if (written < 256 << 20)
                        written += (uint64_t) pwrite(attack->fd, bytes, 1 << 16, (off_t) written);
                atomic_fetch_add(&attack->rounds, 1);
        }
        return NULL;
}

static void test_a_file_that_grows(void **state) {
        _autoclose_ int from_fd = -1, to_fd = -1, file_fd = -1;
        Attack attack = {0};
        struct stat status;
        pthread_t thread;
        int r;

        folder_make_in(folder.fd, "from");
        folder_make_in(folder.fd, "to");
        from_fd = folder_open_in(folder.fd, "from");
        to_fd = folder_open_in(folder.fd, "to");
        file_fd = openat(from_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        attack.fd = file_fd;
        assert_int_equal(pthread_create(&thread, NULL, grow, &attack), 0);
        while (atomic_load(&attack.rounds) < 16)
                (void) sched_yield();
        r = tree_copy(from_fd, to_fd, (uid_t) -1, 2 << 20, 100);
        atomic_store(&attack.ends, true);
        (void) pthread_join(thread, NULL);
        assert_true(r == 0 || r == -EDQUOT);
        assert_int_equal(fstatat(to_fd, "file", &status, 0), 0);
        assert_true(status.st_blocks * 512 <= (2 << 20) + 65536);
}

#define attack_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                attack_test(test_a_tree_that_changes_while_it_is_copied),
                attack_test(test_a_copy_that_is_led_astray),
                attack_test(test_a_file_that_grows),
        };

        return cmocka_run_group_tests_name("tree-attack", tests, NULL, NULL);
}
