#pragma once
/*
 * policy: which system calls a worker may make. The rules are one table (policy.c), read by the
 * program that compiles them while hatchery is built, and by the tests. The worker itself holds the
 * compiled filter only.
 *
 * What no rule names is refused with EPERM, and what the table's kernel did not have yet is
 * answered with ENOSYS: libraries try new calls first and fall back on that errno alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Profile {
        PROFILE_THREADS,      /* threads, and no new process or program */
        PROFILE_SUBPROCESSES, /* those too */
        PROFILE_SESSION,      /* threads, and what a copy of the process takes */
        _PROFILES,
} Profile;

/* What a rule answers: an errno, or one of these. */
enum {
        ANSWER_ALLOW = 0,
        ANSWER_KILL = -1, /* SIGSYS to the whole process: no honest program makes this call */
};

/* Of calls with numbers above that of NEWEST_CALL. */
#define ANSWER_TOO_NEW ENOSYS
#define ANSWER_DEFAULT EPERM
#define NEWEST_CALL    "set_mempolicy_home_node" /* Linux 5.17 */

/*
 * The kernel takes these arguments as 32 bits wide and looks at no other bit of the register
 * (measured: fcntl(fd, 1<<32 | F_GETFD) works). A filter that compared all 64 could be led around
 * a rule that forbids; these rules allow, and compare what the kernel uses.
 */
#define INT UINT32_MAX

/* An argument under its mask has one of these values. */
typedef struct Check {
        uint8_t argument;
        uint64_t mask; /* 0: there is no such check */
        size_t n_values;
        uint64_t values[16];
} Check;

/* Stands for the worker's own process id, which is put in its place after the fork. It is no
 * process id: these end at 2^22. */
#define OWN_PID ((uint64_t) 0x7ea15eed)

/* WORKER_FD_CONTROL; session.c sees to it that it is the same. */
#define CONTROL_FD 253

enum {
        IN_ALL = 0,
        IN_THREADS = 1U << PROFILE_THREADS,
        IN_SUBPROCESSES = 1U << PROFILE_SUBPROCESSES,
        IN_SESSION = 1U << PROFILE_SESSION,
};

typedef struct Rule {
        const char *names; /* of system calls, with spaces between them */
        int answer;
        unsigned profiles; /* bits of these */
        Check checks[2];   /* all must hold, else the answer is ANSWER_DEFAULT */
} Rule;

/* The rules; a system call stands in at most one rule of a profile. */
extern const Rule policy_rules[];
extern const size_t policy_n_rules;

/* "threads" */
const char *policy_profile_name(Profile profile);

bool policy_rule_is_in(const Rule *rule, Profile profile);

/* Takes the next name off *names; false when there is none. Names are shorter than size. */
bool policy_next_name(const char **names, char *name, size_t size);

/* What the rules say of a call by name, never looking at a compiled filter. rule may be NULL: no
 * rule names it. */
const Rule *policy_find(Profile profile, const char *name);
int policy_decide(const Rule *rule, const uint64_t arguments[6]);
