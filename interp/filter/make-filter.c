/*
 * make-filter: writes the compiled filters as a C header to standard output; with --list, what
 * they decide, call by call, for people to read.
 */

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interp/filter/compile.h"

#define NUMBERS_MAX 600

static int write_profile(Profile profile) {
        const char *name = policy_profile_name(profile);
        Program program;

        if (compile_profile(profile, SHAPE_TREE, &program) < 0)
                return -1;
        (void) printf("static const struct sock_filter filter_%s[] = {\n", name);
        for (size_t i = 0; i < program.size; i++)
                (void) printf("        {0x%02x, %u, %u, 0x%08x},\n", program.code[i].code,
                              program.code[i].jt, program.code[i].jf, program.code[i].k);
        (void) printf("};\n\n");
        if (program.n_own_pid_places > 0) {
                (void) printf("/* Instructions of it that compare with the own process id. */\n"
                              "static const unsigned short filter_%s_own_pid[] = {",
                              name);
                for (size_t i = 0; i < program.n_own_pid_places; i++)
                        (void) printf("%s%zu", i > 0 ? ", " : "", program.own_pid_places[i]);
                (void) printf("};\n\n");
        }
        program_done(&program);
        return 0;
}

static void describe_check(const Check *check, char *text, size_t size) {
        size_t used = strlen(text);

        if (!check->mask)
                return;
        used += (size_t) snprintf(text + used, size - used, "%s argument %u",
                                  strstr(text, " if") ? " and" : " if", check->argument);
        if (check->mask != INT && check->mask != UINT64_MAX)
                used += (size_t) snprintf(text + used, size - used, " & 0x%lx",
                                          (unsigned long) check->mask);
        used += (size_t) snprintf(text + used, size - used, " is");
        for (size_t i = 0; i < check->n_values; i++) {
                if (check->values[i] == OWN_PID)
                        used += (size_t) snprintf(text + used, size - used, " own-pid");
                else
                        used += (size_t) snprintf(text + used, size - used, " 0x%lx",
                                                  (unsigned long) check->values[i]);
        }
}

static void describe(const Rule *rule, char *text, size_t size) {
        int answer = rule ? rule->answer : ANSWER_DEFAULT;

        if (answer == ANSWER_ALLOW || answer == ANSWER_KILL)
                (void) snprintf(text, size, "%s", answer == ANSWER_ALLOW ? "allow" : "kill");
        else
                (void) snprintf(text, size, "%s", strerrorname_np(answer));
        for (size_t i = 0; rule && i < 2; i++)
                describe_check(&rule->checks[i], text, size);
}

/* In the order of the alphabet, which architectures share. */
static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void list(void) {
        int newest = seccomp_syscall_resolve_name(NEWEST_CALL);
        char *names[NUMBERS_MAX];
        size_t n = 0;

        for (int number = 0; number <= newest && number < NUMBERS_MAX; number++) {
                names[n] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
                n += names[n] != NULL;
        }
        qsort(names, n, sizeof(char *), compare_names);
        (void) printf("# system call, then what each profile answers\n");
        for (size_t i = 0; i < n; i++) {
                char texts[_PROFILES][512];

                for (Profile profile = 0; profile < _PROFILES; profile++)
                        describe(policy_find(profile, names[i]), texts[profile],
                                 sizeof(texts[profile]));
                (void) printf("%s: %s", names[i], texts[0]);
                for (Profile profile = 1; profile < _PROFILES; profile++)
                        if (strcmp(texts[0], texts[profile]) != 0)
                                (void) printf(" | %s: %s", policy_profile_name(profile),
                                              texts[profile]);
                (void) printf("\n");
                free(names[i]);
        }
        (void) printf("newer than " NEWEST_CALL ": %s\n", strerrorname_np(ANSWER_TOO_NEW));
}

int main(int argc, char **argv) {
        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
                list();
        } else {
                (void) printf("/* Made from interp/filter/policy.c. */\n\n");
                for (Profile profile = 0; profile < _PROFILES; profile++)
                        if (write_profile(profile) < 0)
                                return EXIT_FAILURE;
        }
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
