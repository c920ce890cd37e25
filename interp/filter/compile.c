#include "interp/filter/compile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/cleanup.h"

/* Where the numbers of x32 begin, and where no architecture of ours has any. */
#define X32_NUMBERS 0x40000000

#if defined(__x86_64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this machine"
#endif

static uint32_t action_of(int answer) {
        if (answer == ANSWER_ALLOW)
                return SCMP_ACT_ALLOW;
        return answer == ANSWER_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO((uint32_t) answer);
}

static int add_case(scmp_filter_ctx context, uint32_t action, int number, const Rule *rule,
                    const size_t values[2]) {
        struct scmp_arg_cmp comparisons[2];
        unsigned n = 0;

        for (size_t i = 0; i < 2; i++) {
                const Check *check = &rule->checks[i];

                if (check->mask)
                        comparisons[n++] = SCMP_CMP(check->argument, SCMP_CMP_MASKED_EQ,
                                                    check->mask, check->values[values[i]]);
        }
        return seccomp_rule_add_array(context, action, number, n, comparisons);
}

/* Every combination of a value of the first check with one of the second. */
static int add_call(scmp_filter_ctx context, int number, const Rule *rule) {
        uint32_t action = action_of(rule->answer);
        size_t n_first = rule->checks[0].mask ? rule->checks[0].n_values : 1;
        size_t n_second = rule->checks[1].mask ? rule->checks[1].n_values : 1;

        /* libseccomp takes no rule that says what it does anyway. */
        if (rule->answer == ANSWER_DEFAULT)
                return 0;
        for (size_t i = 0; i < n_first * n_second; i++) {
                int r = add_case(context, action, number, rule,
                                 (size_t[2]){i / n_second, i % n_second});

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_rule(scmp_filter_ctx context, const Rule *rule) {
        const char *names = rule->names;
        char name[64];

        while (policy_next_name(&names, name, sizeof(name))) {
                int number = seccomp_syscall_resolve_name(name), r;

                if (number == __NR_SCMP_ERROR) {
                        (void) fprintf(stderr, "no system call is called %s\n", name);
                        return -EINVAL;
                }
                if (number < 0) /* a number of libseccomp's own: there is none here */
                        continue;
                r = add_call(context, number, rule);
                if (r < 0) {
                        (void) fprintf(stderr, "%s: %s\n", name, strerror(-r));
                        return r;
                }
        }
        return 0;
}

/* Goes before what libseccomp makes: a number beyond the newest call that the rules know. */
static int write_prologue(int fd) {
        int newest = seccomp_syscall_resolve_name(NEWEST_CALL);
        struct sock_filter prologue[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCHITECTURE, 0, 4),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (unsigned) newest, 0, 2),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_NUMBERS, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ANSWER_TOO_NEW),
        };

        if (newest < 0)
                return -EINVAL;
        return write(fd, prologue, sizeof(prologue)) == (ssize_t) sizeof(prologue) ? 0 : -EIO;
}

static int read_program(int fd, Program *ret) {
        struct stat status;
        Program program = {0};

        if (fstat(fd, &status) < 0)
                return -errno;
        program.size = (size_t) status.st_size / sizeof(struct sock_filter);
        program.code = malloc((size_t) status.st_size);
        if (!program.code)
                return -ENOMEM;
        if (pread(fd, program.code, (size_t) status.st_size, 0) != status.st_size) {
                program_done(&program);
                return -EIO;
        }
        for (size_t i = 0; i < program.size; i++) {
                if (program.code[i].k != (uint32_t) OWN_PID)
                        continue;
                if (program.code[i].code != (BPF_JMP | BPF_JEQ | BPF_K) ||
                    program.n_own_pid_places == N_ELEMENTS(program.own_pid_places)) {
                        program_done(&program);
                        return -EPROTO;
                }
                program.own_pid_places[program.n_own_pid_places++] = i;
        }
        *ret = program;
        return 0;
}

static int add_profile(scmp_filter_ctx context, Profile profile, Shape shape) {
        int r;

        r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, shape);
        for (size_t i = 0; i < policy_n_rules && r == 0; i++) {
                if (policy_rule_is_in(&policy_rules[i], profile))
                        r = add_rule(context, &policy_rules[i]);
        }
        return r;
}

int compile_profile(Profile profile, Shape shape, Program *ret) {
        scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ANSWER_DEFAULT));
        _autoclose_ int fd = memfd_create("filter", MFD_CLOEXEC);
        int r;

        if (fd < 0 || !context) {
                r = fd < 0 ? -errno : -ENOMEM;
                seccomp_release(context);
                return r;
        }
        r = add_profile(context, profile, shape);
        if (r == 0)
                r = write_prologue(fd);
        if (r == 0)
                r = seccomp_export_bpf(context, fd);
        if (r == 0)
                r = read_program(fd, ret);
        seccomp_release(context);
        if (r < 0)
                (void) fprintf(stderr, "profile %s: %s\n", policy_profile_name(profile),
                               strerror(-r));
        return r;
}

void program_done(Program *program) {
        free(program->code);
        *program = (Program){0};
}
