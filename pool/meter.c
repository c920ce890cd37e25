#include "pool/meter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"

static uint64_t read_clock(clockid_t clock) {
        struct timespec time;

        /* ESRCH once the process has been waited for. */
        return clock_gettime(clock, &time) < 0 ? 0 : clock_timespec_ns(&time);
}

int meter_open(Meter *meter, pid_t pid) {
        char path[64];
        int r;

        *meter = (Meter){.pid = pid, .status_fd = -1};
        r = clock_getcpuclockid(pid, &meter->clock);
        if (r != 0)
                return raise_error(-r, "get the CPU clock of process %d", pid);

        (void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
        meter->status_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (meter->status_fd < 0)
                return raise_errno("open %s", path);
        return 0;
}

void meter_close(Meter *meter) {
        close_fd(&meter->status_fd);
}

void meter_baseline(Meter *meter) {
        meter->baseline_kb = meter_memory(meter).own_kb;
}

void meter_start(Meter *meter) {
        meter->start_cpu_ns = read_clock(meter->clock);
}

uint64_t meter_cpu_ns(const Meter *meter) {
        uint64_t now_ns = read_clock(meter->clock);

        return now_ns > meter->start_cpu_ns ? now_ns - meter->start_cpu_ns : 0;
}

uint64_t meter_life_cpu_ns(const Meter *meter) {
        return meter->status_fd < 0 ? 0 : read_clock(meter->clock);
}

/* The number after a line's name, 0 if there is no such line. */
static uint64_t line_number(const char *text, const char *name) {
        const char *found = strstr(text, name);
        uint64_t number = 0;

        if (!found)
                return 0;
        for (found += strlen(name); *found == ' ' || *found == '\t'; found++)
                ;
        for (; *found >= '0' && *found <= '9'; found++)
                number = number * 10 + (uint64_t) (*found - '0');
        return number;
}

/* Returns false when the thread is gone. */
static bool read_memory(int status_fd, MemoryReading *ret_reading) {
        char text[2048];
        ssize_t n;

        /* The first line is the process's name, which it may have chosen: it holds no newline, as
         * the kernel escapes it, so no line of its own can be forged. */
        n = pread(status_fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return false;
        text[n] = '\0';
        *ret_reading = (MemoryReading){
                .peak_kb = line_number(text, "\nVmHWM:"),
                .own_kb = line_number(text, "\nRssAnon:") + line_number(text, "\nRssShmem:"),
        };
        return true;
}

static void close_directory(DIR **directory) {
        if (*directory)
                (void) closedir(*directory);
}

/* Memory belongs to all threads, but /proc/PID shows the first one's view, and a thread that has
 * ended has none (proc_pid_status(), get_task_mm()). Code can end its first thread by exit(2) and
 * go on in others. */
static MemoryReading ask_other_threads(const Meter *meter) {
        _cleanup_(close_directory) DIR *tasks = NULL;
        MemoryReading reading = {0};
        const struct dirent *entry;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/task", meter->pid);
        tasks = opendir(path);
        while (tasks && reading.peak_kb == 0 && (entry = readdir(tasks))) {
                char name[sizeof(entry->d_name) + sizeof("/status")];
                _autoclose_ int fd = -1;

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(name, sizeof(name), "%s/status", entry->d_name);
                fd = openat(dirfd(tasks), name, O_RDONLY | O_CLOEXEC);
                if (fd >= 0)
                        (void) read_memory(fd, &reading);
        }
        return reading;
}

MemoryReading meter_memory(const Meter *meter) {
        MemoryReading reading = {0};

        /* While its file can be read, it has not been waited for, and its number is its own. */
        if (read_memory(meter->status_fd, &reading) && reading.peak_kb == 0)
                return ask_other_threads(meter);
        return reading;
}

uint64_t meter_growth_bytes(const Meter *meter, MemoryReading reading) {
        return reading.own_kb > meter->baseline_kb ? (reading.own_kb - meter->baseline_kb) << 10
                                                   : 0;
}
