#pragma once
/*
 * wheel_cache: unpacked wheels that all sessions share, by hard links to their files, and that
 * survive a restart of the server:
 *
 *     <state directory>/wheels/              0711, locked by one server
 *         <sha256 of the wheel>/             0755, its time is that of its last use
 *             about                          "2 name version bytes": 2 is WHEEL_FORMAT
 *             files/                         what a session gets: files that nobody may write
 *         staging/<random>/                  of one installation: what pip may write to
 *         trash/                             on its way out
 *
 * What a wheel has unpacked is hostile: it is taken over only if it is made of folders and plain
 * files. The cache is of the loop's thread, but for the functions for chores.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/janitor.h"
#include "pool/requirement.h"

/* How wheels are unpacked; those of another format go when the server starts. Since 2 there is byte
 * code beside the sources. It is for one version of Python: another one passes over it. */
#define WHEEL_FORMAT      "2"
#define WHEELS_CACHED_MAX 4096
#define WHEEL_ENTRIES_MAX 200000
#define SHA256_CHARS      64
#define STAGING_NAME_SIZE 17
#define WHEEL_BUCKETS     1024

typedef struct CachedWheel CachedWheel;

struct CachedWheel {
        char sha256[SHA256_CHARS + 1];
        char name[REQUIREMENT_NAME_MAX + 1];
        char version[VERSION_SIZE_MAX + 1];
        uint64_t bytes;
        unsigned pins; /* it stays while somebody is going to link it */
        CachedWheel *newer, *older;
        CachedWheel *next; /* in its bucket */
};

typedef struct WheelCache {
        char path[160];
        int root_fd, staging_fd, trash_fd;
        uint64_t bytes, bytes_max;
        size_t n_wheels;
        CachedWheel *newest, *oldest; /* by their last use */
        CachedWheel *buckets[WHEEL_BUCKETS];
        Janitor *janitor;
} WheelCache;

#define WHEEL_CACHE_NONE ((WheelCache){.root_fd = -1, .staging_fd = -1, .trash_fd = -1})

/* Opens directory/wheels, makes what is missing, and takes stock of what an earlier server has
 * left. -EWOULDBLOCK: another server has it. */
_must_check_ int wheel_cache_open(WheelCache *cache, const char *directory, uint64_t bytes_max);
/* The wheels stay on disk; trash that takes longer than a moment does, too. Takes WHEEL_CACHE_NONE.
 */
void wheel_cache_close(WheelCache *cache);

/* Whether it is 64 lower-case hexadecimal digits. */
bool wheel_is_sha256(const char *text);

/* NULL: there is none. One that is found has been used just now. */
CachedWheel *wheel_cache_find(WheelCache *cache, const char *sha256);
void wheel_cache_pin(CachedWheel *wheel);
void wheel_cache_unpin(CachedWheel *wheel);
/* Its files/, open for reading; or -errno. */
_must_check_ int wheel_cache_open_files(const WheelCache *cache, const CachedWheel *wheel);

/* Adds what wheel_take_over() has prepared in staging: moves it, and makes room by giving up what
 * was used longest ago and is not pinned. With bytes_max 0 it goes as soon as it is unpinned and
 * the next one comes. *ret_wheel is pinned. */
_must_check_ int wheel_cache_add(WheelCache *cache, int staging_fd, const char *folder,
                                 const CachedWheel *about, CachedWheel **ret_wheel);

/* A folder for one installation, below staging/; ret_name has STAGING_NAME_SIZE bytes. */
_must_check_ int wheel_cache_stage(WheelCache *cache, char *ret_name, int *ret_fd);
/* Removes it, off the loop. Takes "". */
void wheel_cache_unstage(WheelCache *cache, const char *name);

/* --- for chores --- */

/*
 * Makes what pip has left in work/<folder> of a staging folder the server's own: checks that there
 * are only folders and plain files with one name each, takes set-user-id bits and every right to
 * write, and changes the owner if we are root; moves it to <folder>/files, and writes
 * <folder>/about. Nobody may be writing to it any more. -EBADMSG: there is something else in it, or
 * nothing, or too much. about: name and version in, bytes out.
 */
_must_check_ int wheel_take_over(int staging_fd, const char *folder, CachedWheel *about);
