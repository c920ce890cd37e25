/* What /proc says of a worker: which layers it shows, and which it belies. */

#include "pool/witness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "helpers.h"

#define BIT(name) ((LayerMask) 1 << LAYER_##name)
#define STATUS    (BIT(NO_NEW_PRIVILEGES) | BIT(CAPABILITIES) | BIT(SECCOMP))

static const char all_taken[] = "Name:\tNoNewPrivs: 0\n"
                                "CapInh:\t0000000000000000\n"
                                "CapPrm:\t0000000000000000\n"
                                "CapEff:\t0000000000000000\n"
                                "CapBnd:\t0000000000000000\n"
                                "CapAmb:\t0000000000000000\n"
                                "NoNewPrivs:\t1\n"
                                "Seccomp:\t2\n"
                                "Seccomp_filters:\t1\n";

static Testimony hear(const char *status, LayerMask layers, bool has_bounds) {
        Testimony testimony = {0};

        witness_hear_status(status, layers, has_bounds, &testimony);
        return testimony;
}

static void test_all_taken(void **state) {
        Testimony heard = hear(all_taken, STATUS, true);

        assert_int_equal(heard.shown, BIT(NO_NEW_PRIVILEGES) | BIT(CAPABILITIES));
        assert_int_equal(heard.belied, 0);
        assert_string_equal(heard.text, "");
        heard = hear(all_taken, BIT(OOM_SCORE), true);
        assert_int_equal(heard.shown | heard.belied, 0);
}

/* Each line by itself, made untrue. */
static void test_each_line_counts(void **state) {
        static const struct {
                const char *line, *instead, *text;
                LayerMask layer;
        } cases[] = {
                {"NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs is 0", BIT(NO_NEW_PRIVILEGES)},
                {"Seccomp:\t2", "Seccomp:\t0", "Seccomp is 0", BIT(SECCOMP)},
                {"CapInh:\t0", "CapInh:\t8", "CapInh is 8000000000000000", BIT(CAPABILITIES)},
                {"CapPrm:\t0", "CapPrm:\t8", "CapPrm is 8000000000000000", BIT(CAPABILITIES)},
                {"CapEff:\t0", "CapEff:\t8", "CapEff is 8000000000000000", BIT(CAPABILITIES)},
                {"CapBnd:\t0", "CapBnd:\t8", "CapBnd is 8000000000000000", BIT(CAPABILITIES)},
                {"CapAmb:\t0", "CapAmb:\t8", "CapAmb is 8000000000000000", BIT(CAPABILITIES)},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char status[sizeof(all_taken)];
                Testimony heard;

                memcpy(status, all_taken, sizeof(status));
                memcpy(strstr(status, cases[i].line), cases[i].instead, strlen(cases[i].instead));
                heard = hear(status, STATUS, true);
                assert_int_equal(heard.belied, cases[i].layer);
                assert_int_equal(heard.shown & cases[i].layer, 0);
                assert_string_equal(heard.text, cases[i].text);
                /* Of a layer that is not taken, nothing is expected. */
                assert_int_equal(hear(status, STATUS & ~cases[i].layer, true).belied, 0);
                assert_int_equal(hear(status, STATUS, false).belied == 0,
                                 strncmp(cases[i].line, "CapBnd", 6) == 0);
        }
}

static void test_what_is_not_there_says_nothing(void **state) {
        Testimony heard = hear("Name:\tsleep\n", STATUS, true);

        assert_int_equal(heard.shown | heard.belied, 0);
        witness_look(1 << 30, LAYERS_ALL, &heard);
        assert_int_equal(heard.shown | heard.belied, 0);
}

/* A child that has taken next to nothing, and shares all namespaces. */
static void test_a_process(void **state) {
        static const struct {
                Layer layer;
                const char *text;
        } belied[] = {
                {LAYER_OOM_SCORE, "oom_score_adj is 700"},
                {LAYER_CGROUP_NAMESPACE, "its cgroup namespace is the server's"},
                {LAYER_UTS_NAMESPACE, "its uts namespace is the server's"},
        };
        int ready[2];
        pid_t pid;
        char byte;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || write(fd, "700", 3) != 3 ||
                    write(ready[1], "", 1) != 1)
                        _exit(1);
                for (;;)
                        (void) pause();
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        for (size_t i = 0; i < N_ELEMENTS(belied); i++) {
                Testimony seen;

                witness_look(pid, BIT(NO_NEW_PRIVILEGES) | layer_bit(belied[i].layer), &seen);
                assert_int_equal(seen.shown, BIT(NO_NEW_PRIVILEGES));
                assert_int_equal(seen.belied, layer_bit(belied[i].layer));
                assert_string_equal(seen.text, belied[i].text);
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        (void) close(ready[0]);
        (void) close(ready[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_taken),
                cmocka_unit_test(test_each_line_counts),
                cmocka_unit_test(test_what_is_not_there_says_nothing),
                cmocka_unit_test(test_a_process),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
