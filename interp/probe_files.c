/* probe_files: attempts at files that are not the run's. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interp/confine.h"
#include "interp/probe_attempts.h"
#include "kit/cleanup.h"

#define OPEN_FLAGS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static int try_to_open(const char *path, int flags) {
        _autoclose_ int fd = open(path, flags | OPEN_FLAGS);

        return fd < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_file_for_reading(const char *path) {
        _autoclose_ int fd = open(path, O_RDONLY | OPEN_FLAGS);
        char byte;

        return fd < 0 || read(fd, &byte, 1) < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_file_in(const char *folder) {
        _autoclose_ int fd = -1;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/" PROBE_NAME "-%d", folder, getpid());
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | OPEN_FLAGS, 0600);
        if (fd < 0)
                return errno;
        (void) unlink(path);
        return PROBE_SUCCEEDED;
}

/* In a copy the call may say that it has worked, and has done nothing. */
int probe_mode_of(const char *path) {
        struct stat before, after;

        if (stat(path, &before) < 0 || chmod(path, before.st_mode ^ S_IROTH) < 0 ||
            stat(path, &after) < 0)
                return errno;
        if (before.st_mode == after.st_mode)
                return EPERM;
        (void) chmod(path, before.st_mode);
        return PROBE_SUCCEEDED;
}

int probe_read_shadow(const ProbeRequest *request) {
        return probe_file_for_reading("/etc/shadow");
}

int probe_read_secret(const ProbeRequest *request) {
        return request->secret_path[0] ? probe_file_for_reading(request->secret_path)
                                       : PROBE_SKIPPED;
}

int probe_list_work_folders(const ProbeRequest *request) {
        return request->work_path[0] ? try_to_open(request->work_path, O_RDONLY | O_DIRECTORY)
                                     : PROBE_SKIPPED;
}

int probe_list_processes(const ProbeRequest *request) {
        DIR *directory = opendir("/proc");
        struct dirent *entry;
        int outcome = ENOENT;

        if (!directory)
                return errno;
        while ((entry = readdir(directory))) {
                long pid = strtol(entry->d_name, NULL, 10);

                if (pid > 0 && pid != getpid())
                        outcome = PROBE_SUCCEEDED;
        }
        (void) closedir(directory);
        return outcome;
}

static int try_process_file(int32_t pid, const char *name, int (*attempt)(const char *path)) {
        char path[64];

        if (pid == 0 || pid == getpid())
                return PROBE_SKIPPED;
        (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        return attempt(path);
}

int probe_server_environment(const ProbeRequest *request) {
        return try_process_file(request->server_pid, "environ", probe_file_for_reading);
}

/* Reading address 0 fails always; the rights are checked when it is opened. */
static int try_to_open_memory(const char *path) {
        return try_to_open(path, O_RDWR);
}

int probe_process_memory(int32_t pid) {
        return try_process_file(pid, "mem", try_to_open_memory);
}

int probe_server_memory(const ProbeRequest *request) {
        return probe_process_memory(request->server_pid);
}

int probe_neighbour_memory(const ProbeRequest *request) {
        return probe_process_memory(request->neighbour_pid);
}

int probe_write_root(const ProbeRequest *request) {
        return probe_file_in("");
}

int probe_write_system(const ProbeRequest *request) {
        return probe_file_in("/usr");
}

int probe_write_shared_folder(const ProbeRequest *request) {
        return request->shared_path[0] ? probe_file_in(request->shared_path) : PROBE_SKIPPED;
}

int probe_change_mode_outside(const ProbeRequest *request) {
        if (!request->secret_path[0])
                return PROBE_SKIPPED;
        return probe_mode_of(request->secret_path);
}

/* For writing, which no kernel gives to all. */
int probe_open_device(const ProbeRequest *request) {
        static const char *const paths[] = {"/dev/mem", "/dev/kmsg"};
        int outcome = ENOENT;

        for (size_t i = 0; i < N_ELEMENTS(paths) && outcome != PROBE_SUCCEEDED; i++)
                outcome = try_to_open(paths[i], O_WRONLY);
        return outcome;
}

/* The program named there is run as root by the kernel. */
int probe_kernel_setting(const ProbeRequest *request) {
        return try_to_open("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static bool is_own(int fd) {
        return fd <= STDERR_FILENO || (fd >= WORKER_FD_REQUEST && fd < WORKER_FD_END);
}

int probe_inherited_descriptor(const ProbeRequest *request) {
        for (int fd = 0; fd < 1024; fd++) {
                if (!is_own(fd) && fcntl(fd, F_GETFD) >= 0)
                        return PROBE_SUCCEEDED;
        }
        return EBADF;
}
