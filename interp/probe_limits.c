/* probe_limits: attempts at having more than is allowed. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "interp/probe_attempts.h"
#include "kit/cleanup.h"

/* A quota above these is not tried out: it would take longer than a start may. */
#define THREADS_MAX    1024
#define DISK_BYTES_MAX ((uint64_t) 64 << 20)
#define DISK_FILES_MAX 64

/* Beyond the limit in bytes that the supervisor knows: what a worker needs to get ready. */
#define ADDRESS_SLACK ((uint64_t) 1 << 30)

/* --- threads --- */

static void *wait_for_release(void *lock) {
        (void) pthread_mutex_lock(lock);
        (void) pthread_mutex_unlock(lock);
        return NULL;
}

int probe_thread_quota(const ProbeRequest *request) {
        static pthread_t threads[THREADS_MAX];
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        pthread_attr_t attributes;
        unsigned n = 0;
        int r = 0;

        if (request->tasks == 0 || request->tasks > THREADS_MAX)
                return PROBE_SKIPPED;
        (void) pthread_attr_init(&attributes);
        (void) pthread_attr_setstacksize(&attributes, 65536);
        (void) pthread_mutex_lock(&lock);
        /* With this one, there are more than allowed in the end. */
        while (n < request->tasks && r == 0) {
                r = pthread_create(&threads[n], &attributes, wait_for_release, &lock);
                n += r == 0;
        }
        (void) pthread_mutex_unlock(&lock);
        while (n > 0)
                (void) pthread_join(threads[--n], NULL);
        (void) pthread_attr_destroy(&attributes);
        return r;
}

/* --- memory --- */

int probe_address_quota(const ProbeRequest *request) {
        size_t size = request->memory_bytes + ADDRESS_SLACK;
        void *memory;

        if (request->memory_bytes == 0)
                return PROBE_SKIPPED;
        /* Never written to, so none is taken from anybody. */
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
                return errno;
        (void) munmap(memory, size);
        return PROBE_SUCCEEDED;
}

int probe_lock_memory(const ProbeRequest *request) {
        static char page[4096];

        if (mlock(page, sizeof(page)) < 0)
                return errno;
        (void) munlock(page, sizeof(page));
        return PROBE_SUCCEEDED;
}

/* --- disk --- */

/* A file without a name is gone when it is closed, but not every file system has them. */
static int make_file(void) {
        int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0)
                return fd;
        fd = open(PROBE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
                (void) unlink(PROBE_NAME);
        return fd;
}

/* One byte behind the limit, so that nothing is filled. SIGXFSZ is ignored, as Python has it. */
int probe_file_quota(const ProbeRequest *request) {
        _autoclose_ int fd = -1;

        if (request->file_bytes == 0)
                return PROBE_SKIPPED;
        fd = make_file();
        if (fd < 0)
                return errno;
        if (ftruncate(fd, (off_t) request->file_bytes + 1) < 0 &&
            pwrite(fd, "", 1, (off_t) request->file_bytes) < 0)
                return errno;
        return PROBE_SUCCEEDED;
}

/* The size of a tmpfs is its quota: the kernel takes what is above it off the same number. */
static int ask_for_size(uint64_t bytes) {
        struct statvfs status;

        if (statvfs(".", &status) < 0)
                return PROBE_SKIPPED;
        return (uint64_t) status.f_blocks > bytes / status.f_frsize + 1 ? PROBE_SUCCEEDED : ENOSPC;
}

/* fallocate(2) would be quicker, and is refused by the filter of system calls, so that it tells
 * nothing of the disk. Returns 0 or -1. */
static int fill(int fd, uint64_t size) {
        static const char block[65536];

        while (size > 0) {
                ssize_t n = write(fd, block, size < sizeof(block) ? size : sizeof(block));

                if (n < 0)
                        return -1;
                size -= (uint64_t) n;
        }
        return 0;
}

/* In as many files as it takes, since each is bounded too. The memory for it has to be found, and
 * would be taken from runs; a larger disk is not filled, but asked how large it is. */
int probe_disk_quota(const ProbeRequest *request) {
        uint64_t file_bytes = request->file_bytes, left = request->disk_bytes + 1;
        int fds[DISK_FILES_MAX], n = 0, outcome = PROBE_SUCCEEDED;

        if (request->disk_bytes == 0 || file_bytes == 0)
                return PROBE_SKIPPED;
        if (request->disk_bytes > DISK_BYTES_MAX || left / file_bytes >= DISK_FILES_MAX)
                return ask_for_size(request->disk_bytes);
        while (left > 0 && outcome == PROBE_SUCCEEDED) {
                uint64_t size = left < file_bytes ? left : file_bytes;

                fds[n] = make_file();
                if (fds[n] < 0 || fill(fds[n], size) < 0)
                        outcome = errno;
                n += fds[n] >= 0;
                left -= size;
        }
        while (n > 0)
                (void) close(fds[--n]);
        return outcome;
}

/* --- the limits themselves --- */

static int try_to_raise(int resource) {
        struct rlimit limit, more;

        if (getrlimit((__rlimit_resource_t) resource, &limit) < 0)
                return errno;
        if (limit.rlim_max == RLIM_INFINITY)
                return PROBE_SKIPPED;
        more = limit;
        more.rlim_max++;
        if (setrlimit((__rlimit_resource_t) resource, &more) < 0)
                return errno;
        (void) setrlimit((__rlimit_resource_t) resource, &limit);
        return PROBE_SUCCEEDED;
}

int probe_raise_limit(const ProbeRequest *request) {
        int outcome = PROBE_SKIPPED;

        for (int i = 0; i < (int) RLIM_NLIMITS && outcome != PROBE_SUCCEEDED; i++) {
                int one = try_to_raise(i);

                outcome = one == PROBE_SKIPPED ? outcome : one;
        }
        return outcome;
}
