#include "pool/wheel_cache.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

bool wheel_is_sha256(const char *text) {
        return strlen(text) == SHA256_CHARS && strspn(text, "0123456789abcdef") == SHA256_CHARS;
}

/* 16 random letters. */
static void make_name(char ret_name[STAGING_NAME_SIZE]) {
        uint8_t bytes[STAGING_NAME_SIZE - 1];

        /* As few bytes as these come at once, or never at all. */
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
                abort();
        for (size_t i = 0; i < sizeof(bytes); i++)
                ret_name[i] = (char) ('a' + bytes[i] % 26);
        ret_name[sizeof(bytes)] = '\0';
}

/* --- by sha256 --- */

/* Whoever makes wheels could make some for one bucket: there are WHEELS_CACHED_MAX at most. */
static CachedWheel **bucket_of(WheelCache *cache, const char *sha256) {
        unsigned first = 0;

        (void) sscanf(sha256, "%6x", &first);
        return &cache->buckets[first % WHEEL_BUCKETS];
}

static void index_add(WheelCache *cache, CachedWheel *wheel) {
        CachedWheel **bucket = bucket_of(cache, wheel->sha256);

        wheel->next = *bucket;
        *bucket = wheel;
}

static void index_remove(WheelCache *cache, const CachedWheel *wheel) {
        CachedWheel **at = bucket_of(cache, wheel->sha256);

        while (*at != wheel)
                at = &(*at)->next;
        *at = wheel->next;
}

/* --- the list, by time of use --- */

static void unlist(WheelCache *cache, CachedWheel *wheel) {
        *(wheel->newer ? &wheel->newer->older : &cache->newest) = wheel->older;
        *(wheel->older ? &wheel->older->newer : &cache->oldest) = wheel->newer;
        wheel->newer = wheel->older = NULL;
        cache->n_wheels--;
        cache->bytes -= wheel->bytes;
}

static void list_first(WheelCache *cache, CachedWheel *wheel) {
        wheel->older = cache->newest;
        wheel->newer = NULL;
        *(cache->newest ? &cache->newest->newer : &cache->oldest) = wheel;
        cache->newest = wheel;
        cache->n_wheels++;
        cache->bytes += wheel->bytes;
}

static void throw_away(WheelCache *cache, int parent_fd, const char *name) {
        char trash[STAGING_NAME_SIZE];

        make_name(trash);
        if (renameat(parent_fd, name, cache->trash_fd, trash) == 0)
                janitor_wake(cache->janitor);
        else if (errno != ENOENT)
                log_warning("remove %s of the wheels: %s", name, strerror(errno));
}

static void give_up(WheelCache *cache, CachedWheel *wheel) {
        log_debug("a wheel goes name=%s version=%s bytes=%llu", wheel->name, wheel->version,
                  (unsigned long long) wheel->bytes);
        unlist(cache, wheel);
        index_remove(cache, wheel);
        throw_away(cache, cache->root_fd, wheel->sha256);
        free(wheel);
}

static void make_room(WheelCache *cache) {
        CachedWheel *newer;

        for (CachedWheel *wheel = cache->oldest; wheel; wheel = newer) {
                newer = wheel->newer;
                if (cache->bytes <= cache->bytes_max && cache->n_wheels < WHEELS_CACHED_MAX)
                        return;
                if (wheel->pins == 0)
                        give_up(cache, wheel);
        }
}

/* --- what an earlier server has left --- */

typedef struct Found {
        CachedWheel wheel;
        struct timespec used;
} Found;

static int read_about(int root_fd, const char *sha256, Found *ret_found) {
        _autoclose_ int folder_fd = tree_open(root_fd, sha256, O_RDONLY | O_DIRECTORY), fd = -1,
                        files_fd = -1;
        char text[512], name[REQUIREMENT_NAME_MAX + 1], format[4];
        unsigned long long bytes;
        struct stat status;
        ssize_t n;

        *ret_found = (Found){0};
        fd = folder_fd < 0 ? -1 : tree_open(folder_fd, "about", O_RDONLY);
        files_fd = fd < 0 ? -1 : tree_open(folder_fd, "files", O_PATH | O_DIRECTORY);
        if (fd < 0 || files_fd < 0 || fstat(folder_fd, &status) < 0)
                return -EBADMSG;
        n = read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return -EBADMSG;
        text[n] = '\0';
        if (sscanf(text, "%3s %128s %128s %llu", format, ret_found->wheel.name,
                   ret_found->wheel.version, &bytes) != 4 ||
            strcmp(format, WHEEL_FORMAT) != 0 ||
            !requirement_normalize(slice_of_text(ret_found->wheel.name), name))
                return -EBADMSG;
        (void) memcpy(ret_found->wheel.sha256, sha256, SHA256_CHARS + 1);
        ret_found->wheel.bytes = bytes;
        ret_found->used = status.st_mtim;
        return 0;
}

static int by_use(const void *a, const void *b) {
        const struct timespec *x = &((const Found *) a)->used, *y = &((const Found *) b)->used;

        if (x->tv_sec != y->tv_sec)
                return x->tv_sec < y->tv_sec ? -1 : 1;
        return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static int list_found(WheelCache *cache, Found *found, size_t n) {
        qsort(found, n, sizeof(found[0]), by_use);
        for (size_t i = 0; i < n; i++) {
                CachedWheel *wheel = malloc(sizeof(*wheel));

                if (!wheel)
                        return raise_error(-ENOMEM, "list the wheels");
                *wheel = found[i].wheel;
                list_first(cache, wheel);
                index_add(cache, wheel);
        }
        make_room(cache);
        return 0;
}

static int take_stock(WheelCache *cache) {
        _autofree_ Found *found = malloc(WHEELS_CACHED_MAX * sizeof(*found));
        DIR *directory = tree_read(cache->root_fd);
        const char *name;
        size_t n = 0;

        if (!directory)
                return raise_errno("read the wheels");
        if (!found) {
                (void) closedir(directory);
                return raise_error(-ENOMEM, "list the wheels");
        }
        while ((name = tree_next_name(directory))) {
                if (!wheel_is_sha256(name))
                        continue;
                if (n < WHEELS_CACHED_MAX && read_about(cache->root_fd, name, &found[n]) == 0)
                        n++;
                else
                        throw_away(cache, cache->root_fd, name);
        }
        (void) closedir(directory);
        return list_found(cache, found, n);
}

/* What installations have left that a crash has ended. */
static int empty_staging(WheelCache *cache) {
        DIR *directory = tree_read(cache->staging_fd);
        const char *name;

        if (!directory)
                return raise_errno("read what installations have left");
        while ((name = tree_next_name(directory)))
                throw_away(cache, cache->staging_fd, name);
        (void) closedir(directory);
        return 0;
}

/* --- life --- */

static int open_folder(int parent_fd, const char *name, mode_t mode, int *ret_fd) {
        int fd = tree_open(parent_fd, name, O_RDONLY | O_DIRECTORY);

        if (fd == -ENOENT)
                return tree_make_folder(parent_fd, name, mode, (uid_t) -1, ret_fd);
        if (fd < 0)
                return raise_error(fd, "open folder %s of the wheels", name);
        *ret_fd = fd;
        return 0;
}

static int open_root(WheelCache *cache, const char *directory) {
        int n = snprintf(cache->path, sizeof(cache->path), "%s/wheels", directory), r;

        if (n < 0 || (size_t) n >= sizeof(cache->path))
                return raise_error(-ENAMETOOLONG, "the folder of wheels in %s", directory);
        r = tree_make_path(cache->path, 0711, "the state directory");
        if (r < 0)
                return r;
        cache->root_fd = open(cache->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (cache->root_fd < 0)
                return raise_errno("open %s", cache->path);
        if (flock(cache->root_fd, LOCK_EX | LOCK_NB) < 0)
                return raise_errno("lock %s: another server uses it", cache->path);
        return 0;
}

int wheel_cache_open(WheelCache *cache, const char *directory, uint64_t bytes_max) {
        int r;

        *cache = WHEEL_CACHE_NONE;
        cache->bytes_max = bytes_max;
        r = open_root(cache, directory);
        if (r == 0)
                r = open_folder(cache->root_fd, "staging", 0711, &cache->staging_fd);
        if (r == 0)
                r = open_folder(cache->root_fd, "trash", 0700, &cache->trash_fd);
        if (r == 0)
                r = janitor_new(cache->trash_fd, &cache->janitor);
        if (r == 0)
                r = empty_staging(cache);
        if (r == 0)
                r = take_stock(cache);
        if (r < 0)
                wheel_cache_close(cache);
        return r;
}

void wheel_cache_close(WheelCache *cache) {
        while (cache->newest) {
                CachedWheel *wheel = cache->newest;

                unlist(cache, wheel);
                free(wheel);
        }
        cache->janitor = janitor_free_by(cache->janitor, clock_now_ns() + NS_PER_S);
        close_fd(&cache->trash_fd);
        close_fd(&cache->staging_fd);
        close_fd(&cache->root_fd);
}

/* --- use --- */

CachedWheel *wheel_cache_find(WheelCache *cache, const char *sha256) {
        for (CachedWheel *wheel = *bucket_of(cache, sha256); wheel; wheel = wheel->next) {
                if (strcmp(wheel->sha256, sha256) != 0)
                        continue;
                unlist(cache, wheel);
                list_first(cache, wheel);
                (void) utimensat(cache->root_fd, sha256, NULL, AT_SYMLINK_NOFOLLOW);
                return wheel;
        }
        return NULL;
}

void wheel_cache_pin(CachedWheel *wheel) {
        wheel->pins++;
}

void wheel_cache_unpin(CachedWheel *wheel) {
        assert(wheel->pins > 0);
        wheel->pins--;
}

int wheel_cache_open_files(const WheelCache *cache, const CachedWheel *wheel) {
        char path[SHA256_CHARS + 8];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/files", wheel->sha256);
        fd = tree_open(cache->root_fd, path, O_RDONLY | O_DIRECTORY);
        return fd < 0 ? raise_error(fd, "open a wheel of the cache") : fd;
}

int wheel_cache_add(WheelCache *cache, int staging_fd, const char *folder, const CachedWheel *about,
                    CachedWheel **ret_wheel) {
        CachedWheel *wheel = wheel_cache_find(cache, about->sha256);

        assert(wheel_is_sha256(about->sha256));
        /* Another installation was faster; what this one has brought goes with its staging. */
        if (!wheel) {
                if (renameat(staging_fd, folder, cache->root_fd, about->sha256) < 0)
                        return raise_errno("move a wheel into the cache");
                wheel = malloc(sizeof(*wheel));
                if (!wheel) {
                        throw_away(cache, cache->root_fd, about->sha256);
                        return raise_error(-ENOMEM, "list a wheel");
                }
                *wheel = *about;
                wheel->pins = 0;
                list_first(cache, wheel);
                index_add(cache, wheel);
        }
        wheel_cache_pin(wheel);
        make_room(cache);
        *ret_wheel = wheel;
        return 0;
}

int wheel_cache_stage(WheelCache *cache, char *ret_name, int *ret_fd) {
        make_name(ret_name);
        return tree_make_folder(cache->staging_fd, ret_name, 0700, (uid_t) -1, ret_fd);
}

void wheel_cache_unstage(WheelCache *cache, const char *name) {
        if (name[0])
                throw_away(cache, cache->staging_fd, name);
}
