/* replay: runs a fuzz target over files, or over every file of a directory, without libFuzzer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "kit/bytes.h"
#include "kit/cleanup.h"

#define FILE_BYTES_MAX (16U << 20)

static size_t files_run;

static int run_file(int fd, const char *name) {
        _cleanup_(buffer_done) Buffer bytes = BUFFER_INIT(FILE_BYTES_MAX);
        _autofree_ uint8_t *exact = NULL;
        ssize_t n;

        do {
                int r = buffer_reserve(&bytes, 4096);

                if (r < 0)
                        return r;
                n = read(fd, bytes.data + bytes.size, 4096);
                if (n < 0)
                        return -errno;
                bytes.size += (size_t) n;
        } while (n > 0);

        /* A block of just this size lets a sanitizer see the first byte read past it. */
        exact = malloc(bytes.size > 0 ? bytes.size : 1);
        if (!exact)
                return -ENOMEM;
        memcpy(exact, bytes.data, bytes.size);

        /* On an abort, the last line tells the file. */
        (void) printf("%s\n", name);
        (void) fflush(stdout);
        (void) LLVMFuzzerTestOneInput(exact, bytes.size);
        files_run++;
        return 0;
}

static DIR *close_directory(DIR *directory) {
        if (directory)
                (void) closedir(directory);
        return NULL;
}
DEFINE_CLEANUP(DIR, close_directory)

static int run_path(int at, const char *path, bool descend) {
        _autoclose_ int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
        _cleanup_(close_directoryp) DIR *directory = NULL;
        struct dirent *entry;
        struct stat status;
        int r = 0;

        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISDIR(status.st_mode))
                return run_file(fd, path);
        if (!descend)
                return 0;

        directory = fdopendir(fd);
        if (!directory)
                return -errno;
        (void) take_fd(fd);
        while (r == 0 && (entry = readdir(directory)))
                if (entry->d_name[0] != '.')
                        r = run_path(dirfd(directory), entry->d_name, false);
        return r;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                int r = run_path(AT_FDCWD, argv[i], true);

                if (r < 0) {
                        (void) fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }
        if (files_run == 0) {
                (void) fprintf(stderr, "no file was given, or the directory is empty\n");
                return 1;
        }
        return 0;
}
