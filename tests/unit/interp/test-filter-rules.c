/*
 * The compiled filters against the rules, and against a compilation by the plainest way there is,
 * in an interpreter of BPF that is written from the kernel's description of it; and the list that
 * people read.
 */

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../skip.h"
#include "filter.h"
#include "golden.h"
#include "interp/filter/compile.h"
#include "kit/cleanup.h"

#define NUMBERS_END   600
#define X32_NUMBERS   0x40000000U
#define RANDOM_ROUNDS 20

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* What the kernel would answer. Only the instructions that seccomp(2) filters of ours have. */
static uint32_t simulate(const struct sock_filter *code, size_t size,
                         const struct seccomp_data *data) {
        uint32_t a = 0;

        for (size_t pc = 0; pc < size; pc++) {
                const struct sock_filter *i = &code[pc];

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        assert_in_range(i->k, 0, sizeof(*data) - sizeof(a));
                        memcpy(&a, (const char *) data + i->k, sizeof(a));
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        break;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        pc += a == i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        pc += a >= i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        pc += a > i->k ? i->jt : i->jf;
                        break;
                case BPF_RET | BPF_K:
                        return i->k;
                default:
                        fail_msg("instruction %zu has the code 0x%x", pc, i->code);
                }
        }
        fail_msg("the program has no end");
        return 0;
}

static uint32_t kernel_answer(int answer) {
        if (answer == ANSWER_ALLOW)
                return SECCOMP_RET_ALLOW;
        return answer == ANSWER_KILL ? SECCOMP_RET_KILL_PROCESS
                                     : SECCOMP_RET_ERRNO | (uint32_t) answer;
}

typedef struct Programs {
        Profile profile;
        Program tree, list;
        size_t compared;
} Programs;

static int set_up(void **state) {
        static Programs all[_PROFILES];

        for (Profile profile = 0; profile < _PROFILES; profile++) {
                Programs *programs = &all[profile];

                programs->profile = profile;
                if (compile_profile(profile, SHAPE_TREE, &programs->tree) < 0 ||
                    compile_profile(profile, SHAPE_LIST, &programs->list) < 0)
                        return -1;
        }
        *state = all;
        return 0;
}

static int tear_down(void **state) {
        Programs *all = *state;

        for (Profile profile = 0; profile < _PROFILES; profile++) {
                program_done(&all[profile].tree);
                program_done(&all[profile].list);
        }
        return 0;
}

static void compare(Programs *programs, const struct seccomp_data *data, uint32_t expected) {
        uint32_t tree = simulate(programs->tree.code, programs->tree.size, data);
        uint32_t list = simulate(programs->list.code, programs->list.size, data);

        programs->compared++;
        if (tree == expected && list == expected)
                return;
        fail_msg("%s: number %d with %llx %llx %llx %llx %llx: rules 0x%x, list 0x%x, tree 0x%x",
                 policy_profile_name(programs->profile), data->nr,
                 (unsigned long long) data->args[0], (unsigned long long) data->args[1],
                 (unsigned long long) data->args[2], (unsigned long long) data->args[3],
                 (unsigned long long) data->args[4], expected, list, tree);
}

static uint64_t any_number(void) {
        static uint64_t state = 0x9e3779b97f4a7c15;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
}

/* A value that is allowed, or nearly. */
static uint64_t interesting(const Check *check) {
        uint64_t value = any_number();

        if (check->mask && any_number() % 8 != 0)
                value = check->values[any_number() % check->n_values];
        switch (any_number() % 8) {
        case 0:
                return value ^ (uint64_t) 1 << any_number() % 64;
        case 1:
                return value | (uint64_t) 1 << 32;
        case 2:
                return value | any_number() << 32;
        case 3:
                return (uint64_t) (int64_t) (int32_t) value;
        case 4:
                return value | (any_number() & ~check->mask);
        case 5:
                return any_number() % 64;
        default:
                return value;
        }
}

static void compare_call(Programs *programs, int number, const Rule *rule) {
        for (int round = 0; round < (rule && rule->checks[0].mask ? 2000 : RANDOM_ROUNDS);
             round++) {
                struct seccomp_data data = {.nr = number, .arch = OUR_ARCHITECTURE};

                for (size_t i = 0; i < N_ELEMENTS(data.args); i++)
                        data.args[i] = any_number() >> any_number() % 64;
                for (size_t i = 0; rule && i < 2; i++)
                        if (rule->checks[i].mask)
                                data.args[rule->checks[i].argument] = interesting(&rule->checks[i]);
                compare(programs, &data,
                        kernel_answer(policy_decide(rule, (const uint64_t *) data.args)));
        }
}

static void test_both_shapes_do_what_the_rules_say(void **state) {
        int newest = seccomp_syscall_resolve_name(NEWEST_CALL);

        for (Profile profile = 0; profile < _PROFILES; profile++) {
                Programs *programs = (Programs *) *state + profile;

                for (int number = 0; number <= newest; number++) {
                        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

                        compare_call(programs, number, name ? policy_find(profile, name) : NULL);
                        free(name);
                }
                for (int number = newest + 1; number < NUMBERS_END; number++) {
                        struct seccomp_data data = {.nr = number, .arch = OUR_ARCHITECTURE};

                        compare(programs, &data, kernel_answer(ANSWER_TOO_NEW));
                }
                assert_true(programs->compared > 10000);
        }
}

static void test_another_architecture_kills(void **state) {
        static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0,
                                          OUR_ARCHITECTURE ^ 1};

        for (size_t i = 0; i < N_ELEMENTS(others) * _PROFILES; i++) {
                Programs *programs = (Programs *) *state + i % _PROFILES;

                for (int number = 0; number < NUMBERS_END; number++)
                        compare(programs,
                                &(struct seccomp_data){.nr = number, .arch = others[i / _PROFILES]},
                                SECCOMP_RET_KILL_PROCESS);
        }
}

static void test_x32_kills(void **state) {
#if defined(__x86_64__)
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                for (uint32_t number = 0; number < NUMBERS_END; number++) {
                        struct seccomp_data data = {.nr = (int) (number | X32_NUMBERS),
                                                    .arch = OUR_ARCHITECTURE};

                        compare((Programs *) *state + profile, &data, SECCOMP_RET_KILL_PROCESS);
                }
        }
#else
        skip_because("only x86-64 has such calls");
#endif
}

/* What is shipped is the tree. */
static void test_the_header_is_the_tree(void **state) {
        const Programs *all = *state;

        assert_int_equal(all[PROFILE_THREADS].tree.size, N_ELEMENTS(filter_threads));
        assert_memory_equal(all[PROFILE_THREADS].tree.code, filter_threads, sizeof(filter_threads));
        assert_int_equal(all[PROFILE_THREADS].tree.n_own_pid_places,
                         N_ELEMENTS(filter_threads_own_pid));
        for (size_t i = 0; i < N_ELEMENTS(filter_threads_own_pid); i++)
                assert_int_equal(filter_threads[filter_threads_own_pid[i]].k, OWN_PID);
        assert_int_equal(all[PROFILE_SUBPROCESSES].tree.size, N_ELEMENTS(filter_subprocesses));
        assert_memory_equal(all[PROFILE_SUBPROCESSES].tree.code, filter_subprocesses,
                            sizeof(filter_subprocesses));
        assert_int_equal(all[PROFILE_SESSION].tree.size, N_ELEMENTS(filter_session));
        assert_memory_equal(all[PROFILE_SESSION].tree.code, filter_session, sizeof(filter_session));
        for (size_t i = 0; i < N_ELEMENTS(filter_session_own_pid); i++)
                assert_int_equal(filter_session[filter_session_own_pid[i]].k, OWN_PID);
}

/* Two rules for one call of one profile would be one too many: the first found would count here,
 * and both there. */
static void test_no_call_has_two_rules(void **state) {
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                for (size_t i = 0; i < policy_n_rules; i++) {
                        const char *names = policy_rules[i].names;
                        char name[64];

                        if (!policy_rule_is_in(&policy_rules[i], profile))
                                continue;
                        while (policy_next_name(&names, name, sizeof(name)))
                                if (policy_find(profile, name) != &policy_rules[i])
                                        fail_msg("two rules for %s", name);
                }
        }
}

static void test_the_list_is_the_committed_one(void **state) {
#if defined(__x86_64__)
        _autofree_ char *golden = golden_read();
        char *now = calloc(1, 65536);
        const char *program = getenv("MAKE_FILTER");
        char command[4096];
        FILE *pipe;

        assert_non_null(program);
        assert_non_null(now);
        (void) snprintf(command, sizeof(command), "'%s' --list", program);
        pipe = popen(command, "re");
        assert_non_null(pipe);
        assert_in_range(fread(now, 1, 65535, pipe), 1, 65534);
        assert_int_equal(pclose(pipe), 0);
        if (strcmp(golden, now) != 0)
                fail_msg("the rules decide otherwise than %s says. If that is meant to be:\n"
                         "%s --list >%s\nand read what has changed.",
                         getenv(GOLDEN_PATH_VARIABLE), program, getenv(GOLDEN_PATH_VARIABLE));
        free(now);
#else
        skip_because("the list is of the calls of x86-64");
#endif
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_shapes_do_what_the_rules_say),
                cmocka_unit_test(test_another_architecture_kills),
                cmocka_unit_test(test_x32_kills),
                cmocka_unit_test(test_the_header_is_the_tree),
                cmocka_unit_test(test_no_call_has_two_rules),
                cmocka_unit_test(test_the_list_is_the_committed_one),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
