#include "interp/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interp/fork.h"
#include "kit/error.h"
#include "kit/log.h"

/* glibc 2.36 has them; their numbers are fixed since Linux 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_SIZE       4096UL
#define RANGES_MAX      8192
#define MAPPINGS_MAX    4096
#define ENTRIES_AT_ONCE 512

/* Pages read but not needed cost a few bytes of page table; a call costs more. Pages written cost a
 * copy each. */
#define READ_GAP_PAGES  8
#define WRITE_GAP_PAGES 0

typedef struct Range {
        uintptr_t start, end;
        uint64_t writes;
} Range;

typedef struct Mapping {
        uintptr_t start, end;
} Mapping;

/* Filled in the zygote, in memory that is read only from then on. */
static Range *ranges;
static size_t n_ranges;

/* --- in the child that does the work --- */

typedef struct Recorder {
        int pagemap_fd, out_fd;
        Range open; /* being extended; empty when start equals end */
} Recorder;

/* The mappings that workers will have too: those from before the work. */
static size_t list_mappings(Mapping *mappings) {
        FILE *file = fopen("/proc/self/maps", "re");
        char line[512];
        size_t n = 0;

        while (file && n < MAPPINGS_MAX && fgets(line, sizeof(line), file)) {
                unsigned long start, end;
                char permissions[5];

                if (sscanf(line, "%lx-%lx %4s", &start, &end, permissions) == 3 &&
                    permissions[0] == 'r' && permissions[3] == 'p' && !strstr(line, "[v"))
                        mappings[n++] = (Mapping){start, end};
        }
        if (file)
                (void) fclose(file);
        return n;
}

static void close_range_of(Recorder *recorder) {
        if (recorder->open.start < recorder->open.end &&
            write(recorder->out_fd, &recorder->open, sizeof(recorder->open)) !=
                    sizeof(recorder->open))
                _exit(1);
        recorder->open = (Range){0};
}

static void record_page(Recorder *recorder, uintptr_t page, bool writes) {
        uintptr_t gap = (writes ? WRITE_GAP_PAGES : READ_GAP_PAGES) * PAGE_SIZE;
        Range *open = &recorder->open;

        if (open->start < open->end && open->writes == writes && page <= open->end + gap) {
                open->end = page + PAGE_SIZE;
                return;
        }
        close_range_of(recorder);
        *open = (Range){page, page + PAGE_SIZE, writes};
}

/*
 * Bits of /proc/PID/pagemap: 63 present; 61 of a file or shared; 56 mapped by nobody else
 * (since 4.2, readable without privilege). A page of the process's own that nobody shares is one
 * that it has written since the fork. Those are sought first and the read ones in a second pass, so
 * that a range holds one kind.
 */
static void record_mapping(Recorder *recorder, const Mapping *mapping, bool writes) {
        uint64_t entries[ENTRIES_AT_ONCE];

        for (uintptr_t at = mapping->start; at < mapping->end;) {
                size_t want = (mapping->end - at) / PAGE_SIZE;
                ssize_t n =
                        pread(recorder->pagemap_fd, entries,
                              (want < ENTRIES_AT_ONCE ? want : ENTRIES_AT_ONCE) * sizeof(*entries),
                              (off_t) (at / PAGE_SIZE * sizeof(*entries)));

                if (n < (ssize_t) sizeof(*entries))
                        return;
                for (size_t i = 0; i < (size_t) n / sizeof(*entries); i++, at += PAGE_SIZE) {
                        bool present = entries[i] >> 63 & 1, of_file = entries[i] >> 61 & 1;
                        bool alone = entries[i] >> 56 & 1;

                        if (present && (writes ? !of_file && alone : of_file))
                                record_page(recorder, at, writes);
                }
        }
        close_range_of(recorder);
}

static _Noreturn void record(int out_fd, void (*work)(void *data), void *data) {
        Mapping *mappings = calloc(MAPPINGS_MAX, sizeof(*mappings));
        Recorder recorder = {.out_fd = out_fd};
        size_t n;

        recorder.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        if (!mappings || recorder.pagemap_fd < 0)
                _exit(1);
        n = list_mappings(mappings);
        work(data);
        for (size_t i = 0; i < n; i++) {
                record_mapping(&recorder, &mappings[i], false);
                record_mapping(&recorder, &mappings[i], true);
        }
        _exit(0);
}

/* --- in the zygote --- */

static size_t read_ranges(int fd, Range *to) {
        size_t used = 0, room = RANGES_MAX * sizeof(*to);
        ssize_t n;

        while (used < room && (n = read(fd, (uint8_t *) to + used, room - used)) > 0)
                used += (size_t) n;
        return used / sizeof(*to);
}

static long count_pages(const Range *of, size_t n) {
        uintptr_t pages = 0;

        for (size_t i = 0; i < n; i++)
                pages += (of[i].end - of[i].start) / PAGE_SIZE;
        return (long) pages;
}

long touch_record(void (*work)(void *data), void *data) {
        size_t size = RANGES_MAX * sizeof(Range), n;
        Range *store;
        pid_t pid;
        int fds[2], status;

#ifdef __SANITIZE_ADDRESS__
        /* Looking through terabytes of its shadow takes minutes. */
        return -ENOTSUP;
#endif
        store = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (store == MAP_FAILED)
                return raise_errno("allocate a record of pages");
        if (pipe2(fds, O_CLOEXEC) < 0)
                return raise_errno("make a pipe");
        pid = fork_child();
        if (pid == 0)
                record(fds[1], work, data);
        (void) close(fds[1]);
        n = pid < 0 ? 0 : read_ranges(fds[0], store);
        (void) close(fds[0]);
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
                (void) munmap(store, size);
                return raise_error(-ECHILD, "record the pages of heavy runs");
        }

        (void) mprotect(store, size, PROT_READ);
        ranges = store;
        n_ranges = n;
        return count_pages(store, n);
}

/* --- in a worker --- */

void touch_pages(void) {
        for (size_t i = 0; i < n_ranges; i++) {
                const Range *range = &ranges[i];
                size_t size = range->end - range->start;

                if (madvise((void *) range->start, size,
                            range->writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0 ||
                    errno != EINVAL)
                        continue;
                /* Before Linux 5.14: one fault a page, but not during a run. */
                for (uintptr_t page = range->start; page < range->end; page += PAGE_SIZE) {
                        volatile uint8_t *byte = (volatile uint8_t *) page;

                        if (range->writes)
                                *byte = *byte;
                        else
                                (void) *byte;
                }
        }
}
