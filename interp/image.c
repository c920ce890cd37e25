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

#define REGIONS_MAX   4096
#define MAPS_LINE_MAX 512

typedef struct Region {
        uintptr_t start, end;
        int protection;
} Region;

/* On the stack of image_make(), which is the one mapping that stays where it is. */
typedef struct Regions {
        Region items[REGIONS_MAX];
        size_t n;
        size_t bytes;
} Regions;

/* Whether any page of the region is present and neither of a file nor shared: written since it was
 * mapped. Bits of /proc/PID/pagemap: 63 present, 61 of a file or shared. */
static bool has_written_pages(int pagemap_fd, const Region *region) {
        uint64_t entries[512];
        long page_size = sysconf(_SC_PAGESIZE);
        uintptr_t page = region->start / (uintptr_t) page_size,
                  last = region->end / (uintptr_t) page_size;

        while (page < last) {
                size_t want = last - page < 512 ? last - page : 512;
                ssize_t n = pread(pagemap_fd, entries, want * sizeof(*entries),
                                  (off_t) (page * sizeof(*entries)));

                if (n < (ssize_t) sizeof(*entries))
                        return false;
                for (size_t i = 0; i < (size_t) n / sizeof(*entries); i++) {
                        if ((entries[i] >> 63 & 1) && !(entries[i] >> 61 & 1))
                                return true;
                }
                page += (size_t) n / sizeof(*entries);
        }
        return false;
}

/* Adds the region of one line of /proc/self/maps if it can move and there is a gain. */
static void add_line(Regions *regions, const char *line, int pagemap_fd) {
        unsigned long start, end;
        char permissions[5];
        Region region;

        if (sscanf(line, "%lx-%lx %4s", &start, &end, permissions) != 3 ||
            regions->n == REGIONS_MAX)
                return;
        /* "[stack]", "[vdso]", "[vvar]", "[vsyscall]" stay. "[heap]" moves; brk(2) goes on behind
         * it. */
        if (permissions[3] != 'p' || permissions[0] != 'r' || permissions[2] == 'x' ||
            strstr(line, "[stack") || strstr(line, "[v"))
                return;
        region = (Region){start, end, PROT_READ | (permissions[1] == 'w' ? PROT_WRITE : 0)};
        if (!has_written_pages(pagemap_fd, &region))
                return;
        regions->items[regions->n++] = region;
        regions->bytes += end - start;
}

static int find_regions(Regions *regions) {
        int maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        char text[MAPS_LINE_MAX];
        size_t used = 0;
        ssize_t n = -1;

        /* Without stdio, whose buffers would be among the memory that moves. */
        while (maps_fd >= 0 && pagemap_fd >= 0 &&
               (n = read(maps_fd, text + used, sizeof(text) - 1 - used)) > 0) {
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
        if (pagemap_fd >= 0)
                (void) close(pagemap_fd);
        return n < 0 ? -ENOENT : 0;
}

static bool write_region(int fd, const Region *region, off_t offset) {
        size_t size = region->end - region->start, done = 0;

        while (done < size) {
                ssize_t n = pwrite(fd, (const void *) (region->start + done), size - done,
                                   offset + (off_t) done);

                if (n <= 0)
                        return false;
                done += (size_t) n;
        }
        return true;
}

long image_make(void) {
#ifdef __SANITIZE_ADDRESS__
        /* Its shadow is terabytes of address space, and written to by every access. */
        return -ENOTSUP;
#endif
        Regions regions = {.n = 0};
        off_t offset = 0;
        long moved = 0;
        int fd;

        if (find_regions(&regions) < 0)
                return -ENOENT;
        fd = memfd_create("hatchery-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t) regions.bytes) < 0) {
                (void) close(fd);
                return -ENOMEM;
        }

        /* Between the copy of a region and its mapping nothing may be written to it. That holds for
         * the C library's own data too: the calls below write errno at most, and only when they
         * fail. */
        for (size_t i = 0; i < regions.n; i++) {
                const Region *region = &regions.items[i];
                size_t size = region->end - region->start;

                /* Neighbours with the same rights become one mapping, as their places in the file
                 * are neighbours too. */
                if (write_region(fd, region, offset) &&
                    mmap((void *) region->start, size, region->protection, MAP_PRIVATE | MAP_FIXED,
                         fd, offset) != MAP_FAILED)
                        moved += (long) size;
                offset += (off_t) size;
        }
        (void) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
        (void) close(fd);
        return moved;
}
