#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGIONS_MAX     4096
#define MAPS_LINE_MAX   512
#define ENTRIES_AT_ONCE 512
#define PAGE_SIZE       4096UL

typedef struct Region {
        uintptr_t start, end;
        int protection;
        bool is_of_file;
} Region;

/* On the stack of image_make(), which is the one mapping that stays where it is. */
typedef struct Regions {
        Region items[REGIONS_MAX];
        size_t n;
        size_t bytes;
} Regions;

/* Bits of /proc/PID/pagemap: 63 present, 62 swapped out, 61 of a file or shared. A page of an
 * anonymous mapping that is neither present nor swapped out was not touched since it was mapped. */
#define IS_THERE(entry)   ((entry) >> 62 != 0)
#define IS_WRITTEN(entry) (IS_THERE(entry) && !((entry) >> 61 & 1))

/* Fills entries for the pages from that address on; returns how many. */
static size_t read_pagemap(int pagemap_fd, uintptr_t from, uintptr_t end,
                           uint64_t entries[ENTRIES_AT_ONCE]) {
        size_t want = (end - from) / PAGE_SIZE;
        ssize_t n;

        if (want > ENTRIES_AT_ONCE)
                want = ENTRIES_AT_ONCE;
        n = pread(pagemap_fd, entries, want * sizeof(*entries),
                  (off_t) (from / PAGE_SIZE * sizeof(*entries)));
        return n < 0 ? 0 : (size_t) n / sizeof(*entries);
}

static bool has_written_pages(int pagemap_fd, const Region *region) {
        uint64_t entries[ENTRIES_AT_ONCE];
        uintptr_t at = region->start;
        size_t n;

        while ((n = read_pagemap(pagemap_fd, at, region->end, entries)) > 0) {
                for (size_t i = 0; i < n; i++) {
                        if (IS_WRITTEN(entries[i]))
                                return true;
                }
                at += n * PAGE_SIZE;
        }
        return false;
}

/* Adds the region of one line of /proc/self/maps if it can move and there is a gain. */
static void add_line(Regions *regions, const char *line, int pagemap_fd) {
        unsigned long start, end, inode;
        char permissions[5];
        Region region;

        if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &start, &end, permissions, &inode) != 4 ||
            regions->n == REGIONS_MAX)
                return;
        /* "[stack]", "[vdso]", "[vvar]", "[vsyscall]" stay. "[heap]" moves; brk(2) goes on behind
         * it. */
        if (permissions[3] != 'p' || permissions[0] != 'r' || permissions[2] == 'x' ||
            strstr(line, "[stack") || strstr(line, "[v"))
                return;
        region = (Region){start, end, PROT_READ | (permissions[1] == 'w' ? PROT_WRITE : 0),
                          inode != 0};
        if (!has_written_pages(pagemap_fd, &region))
                return;
        regions->items[regions->n++] = region;
        regions->bytes += end - start;
}

static int find_regions(Regions *regions, int pagemap_fd) {
        int maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        char text[MAPS_LINE_MAX];
        size_t used = 0;
        ssize_t n = -1;

        /* Without stdio, whose buffers would be among the memory that moves. */
        while (maps_fd >= 0 && (n = read(maps_fd, text + used, sizeof(text) - 1 - used)) > 0) {
                char *line = text, *end;

                used += (size_t) n;
                text[used] = '\0';
                while ((end = strchr(line, '\n'))) {
                        *end = '\0';
                        add_line(regions, line, pagemap_fd);
                        line = end + 1;
                }
                used -= (size_t) (line - text);
                memmove(text, line, used);
                /* A path longer than the buffer: only its start matters. */
                if (used == sizeof(text) - 1)
                        used /= 2;
        }
        if (maps_fd >= 0)
                (void) close(maps_fd);
        return n < 0 ? -ENOENT : 0;
}

static bool write_pages(int fd, uintptr_t start, uintptr_t end, off_t offset) {
        while (start < end) {
                ssize_t n = pwrite(fd, (const void *) start, end - start, offset);

                if (n <= 0)
                        return false;
                start += (size_t) n;
                offset += n;
        }
        return true;
}

/* Copies a region. Of anonymous memory, only what is there: the rest stays a hole, which reads as
 * zeroes, as an untouched page does, and takes no memory. OpenBLAS alone reserves a hundred
 * megabytes. An untouched page of a file is the file's, and so is copied. */
static bool write_region(int fd, int pagemap_fd, const Region *region, off_t offset) {
        uint64_t entries[ENTRIES_AT_ONCE];
        uintptr_t at = region->start, written = region->start;

        while (at < region->end) {
                size_t n = read_pagemap(pagemap_fd, at, region->end, entries);

                if (n == 0)
                        return false;
                for (size_t i = 0; i < n; i++, at += PAGE_SIZE) {
                        if (IS_THERE(entries[i]) || region->is_of_file)
                                continue;
                        if (!write_pages(fd, written, at,
                                         offset + (off_t) (written - region->start)))
                                return false;
                        written = at + PAGE_SIZE;
                }
        }
        return write_pages(fd, written, at, offset + (off_t) (written - region->start));
}

/* Between the copy of a region and its mapping nothing may be written to it. That holds for the C
 * library's own data too: the calls below write errno at most, and only when they fail. Returns the
 * bytes that moved. */
static long move_regions(const Regions *regions, int fd, int pagemap_fd) {
        off_t offset = 0;
        long moved = 0;

        for (size_t i = 0; i < regions->n; i++) {
                const Region *region = &regions->items[i];
                size_t size = region->end - region->start;

                /* Neighbours with the same rights become one mapping, as their places in the file
                 * are neighbours too. */
                if (write_region(fd, pagemap_fd, region, offset) &&
                    mmap((void *) region->start, size, region->protection, MAP_PRIVATE | MAP_FIXED,
                         fd, offset) != MAP_FAILED)
                        moved += (long) size;
                offset += (off_t) size;
        }
        return moved;
}

static long make_with(int fd, int pagemap_fd) {
        Regions regions = {.n = 0};
        long moved;

        if (find_regions(&regions, pagemap_fd) < 0)
                return -ENOENT;
        if (ftruncate(fd, (off_t) regions.bytes) < 0)
                return -ENOMEM;
        moved = move_regions(&regions, fd, pagemap_fd);
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -EPERM;
        return moved;
}

long image_make(void) {
        int fd, pagemap_fd;
        long moved;

#ifdef __SANITIZE_ADDRESS__
        /* Its shadow is terabytes of address space, and written to by every access. */
        return -ENOTSUP;
#endif
        pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        if (pagemap_fd < 0)
                return -errno;
        fd = memfd_create("hatchery-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        moved = fd < 0 ? -errno : make_with(fd, pagemap_fd);
        if (fd >= 0)
                (void) close(fd);
        (void) close(pagemap_fd);
        return moved;
}
