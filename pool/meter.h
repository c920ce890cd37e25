#pragma once
/*
 * meter: what the kernel says about a live process, from outside and without waiting for anything:
 * its CPU clock and the memory lines of a /proc file that was opened when the worker was forked.
 */

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "kit/cleanup.h"

typedef struct Meter {
        pid_t pid;
        clockid_t clock;
        int status_fd;         /* /proc/PID/status; -1 when unset */
        uint64_t start_cpu_ns; /* at meter_start() */
        uint64_t baseline_kb;  /* anonymous and shared memory of its own when it was ready */
} Meter;

typedef struct MemoryReading {
        uint64_t peak_kb; /* VmHWM: high-water mark of the resident set, shared pages of the
                             interpreter too */
        uint64_t own_kb;  /* RssAnon + RssShmem: what it would give back if it ended, and what it
                           * shares  with the zygote since the fork */
} MemoryReading;

_must_check_ int meter_open(Meter *meter, pid_t pid);
void meter_close(Meter *meter);

/* The worker is warm and idle: what it holds now is the interpreter's own. */
void meter_baseline(Meter *meter);

/* A run starts now. */
void meter_start(Meter *meter);

/* CPU time of all threads since meter_start(), in nanoseconds; 0 when the process has been waited
 * for. */
uint64_t meter_cpu_ns(const Meter *meter);

/* … since the process began; 0 when there is none. */
uint64_t meter_life_cpu_ns(const Meter *meter);

/* Zeroes when the process is gone, or has been waited for. */
MemoryReading meter_memory(const Meter *meter);

/* Memory used beyond the baseline, in bytes. */
uint64_t meter_growth_bytes(const Meter *meter, MemoryReading reading);
