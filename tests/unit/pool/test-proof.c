/* What a canary's answers say about the layers: who must stop what, and what follows when nobody
 * has. */

#include "pool/proof.h"

#include <errno.h>

#include "helpers.h"

static const ProofClaim everything = {.layers = LAYERS_ALL, .landlock_abi = 7};

static ProofClaim claim_of(LayerMask layers) {
        return (ProofClaim){.layers = layers, .landlock_abi = 7};
}

static ProbeAnswer answer_of(int32_t outcome) {
        ProbeAnswer answer;

        for (unsigned i = 0; i < _PROBES; i++)
                answer.outcomes[i] = outcome;
        return answer;
}

static unsigned count_bits(uint64_t bits) {
        return (unsigned) __builtin_popcountll(bits);
}

static void test_with_all_layers_nothing_is_left_open(void **state) {
        ProbeAnswer answer = answer_of(EPERM);
        ProofResult result;

        assert_true(proof_attempts(&everything) == PROBES_ALL);
        proof_judge(&answer, &everything, &result);
        assert_true(result.holds);
        assert_int_equal(result.tried, _PROBES);
        assert_int_equal(result.stopped, _PROBES);
}

static void test_without_layers_nothing_is_claimed(void **state) {
        ProofClaim claim = claim_of(0);
        ProbeAnswer answer = answer_of(PROBE_SUCCEEDED);
        ProofResult result;

        assert_true(proof_attempts(&claim) == 0);
        proof_judge(&answer, &claim, &result);
        assert_true(result.holds);
        assert_int_equal(result.tried, 0);
        assert_int_equal(result.proven, 0);
}

static void test_each_attempt_that_works_breaks_it(void **state) {
        for (unsigned i = 0; i < _PROBES; i++) {
                ProbeAnswer answer = answer_of(EACCES);
                ProofResult result;

                answer.outcomes[i] = PROBE_SUCCEEDED;
                proof_judge(&answer, &everything, &result);
                assert_false(result.holds);
                assert_int_equal(result.broken, i);
                assert_int_equal(result.tried, _PROBES);
                assert_int_equal(result.stopped, _PROBES - 1);
        }
}

static void test_the_first_that_worked_is_named(void **state) {
        ProbeAnswer answer = answer_of(PROBE_SUCCEEDED);
        ProofResult result;

        proof_judge(&answer, &everything, &result);
        assert_int_equal(result.broken, 0);
        assert_int_equal(result.stopped, 0);
}

static void test_what_was_not_tried_says_nothing(void **state) {
        ProbeAnswer answer = answer_of(PROBE_SKIPPED);
        ProofResult result;

        proof_judge(&answer, &everything, &result);
        assert_true(result.holds);
        assert_int_equal(result.tried, 0);
        assert_int_equal(result.proven, 0);
}

static void test_what_nobody_promises_may_work(void **state) {
        ProofClaim claim = claim_of(layer_bit(LAYER_RLIMITS));
        ProbeAnswer answer = answer_of(PROBE_SUCCEEDED);
        ProofResult result;

        answer.outcomes[PROBE_ADDRESS_QUOTA] = ENOMEM;
        answer.outcomes[PROBE_FILE_QUOTA] = EFBIG;
        answer.outcomes[PROBE_THREAD_QUOTA] = EAGAIN;
        answer.outcomes[PROBE_MESSAGE_QUEUE] = EMFILE;
        answer.outcomes[PROBE_INHERITED_DESCRIPTOR] = EBADF;
        proof_judge(&answer, &claim, &result);
        assert_true(result.holds);
        assert_int_equal(result.tried, 5);
        assert_int_equal(result.proven, layer_bit(LAYER_RLIMITS));
}

/* Only layers of the claim are named, and more layers never promise less. */
static void test_defenders_are_of_the_claim(void **state) {
        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                ProofClaim alone = claim_of(layer_bit((Layer) layer));
                ProofClaim without = claim_of(LAYERS_ALL & ~layer_bit((Layer) layer));

                for (unsigned i = 0; i < _PROBES; i++) {
                        LayerMask all = proof_defenders((Probe) i, &everything);

                        assert_int_equal(proof_defenders((Probe) i, &alone) & ~alone.layers, 0);
                        assert_int_equal(proof_defenders((Probe) i, &without) & ~without.layers, 0);
                        assert_int_equal(proof_defenders((Probe) i, &alone) & ~all, 0);
                        assert_int_equal(proof_defenders((Probe) i, &without) & ~all, 0);
                }
        }
}

/* A layer that no attempt is stopped by is one that nobody can see. */
static void test_layers_that_show(void **state) {
        static const Layer shown[] = {
                LAYER_RLIMITS,        LAYER_CAPABILITIES,  LAYER_NOT_DUMPABLE,
                LAYER_SECCOMP,        LAYER_LANDLOCK,      LAYER_UID,
                LAYER_USER_NAMESPACE, LAYER_PID_NAMESPACE, LAYER_MOUNT_NAMESPACE,
                LAYER_NET_NAMESPACE,  LAYER_IPC_NAMESPACE, LAYER_UTS_NAMESPACE,
        };
        LayerMask seen = 0;

        for (unsigned i = 0; i < _PROBES; i++) {
                if (i != PROBE_INHERITED_DESCRIPTOR)
                        seen |= proof_defenders((Probe) i, &everything);
        }
        for (size_t i = 0; i < N_ELEMENTS(shown); i++)
                assert_true(seen & layer_bit(shown[i]));
        assert_int_equal(count_bits(seen), N_ELEMENTS(shown));
}

static void test_processes_of_ones_own(void **state) {
        ProofClaim claim = {
                .layers = layer_bit(LAYER_SECCOMP), .landlock_abi = 7, .subprocesses = true};

        assert_int_equal(proof_defenders(PROBE_NEW_PROCESS, &claim), 0);
        assert_int_equal(proof_defenders(PROBE_NEW_PROGRAM, &claim), 0);
        assert_int_equal(proof_defenders(PROBE_SIGNAL_SERVER, &claim), 0);
        assert_int_equal(proof_defenders(PROBE_INTERNET_SOCKET, &claim), layer_bit(LAYER_SECCOMP));
        claim.subprocesses = false;
        assert_int_equal(proof_defenders(PROBE_NEW_PROCESS, &claim), layer_bit(LAYER_SECCOMP));
        assert_int_equal(proof_defenders(PROBE_SIGNAL_SERVER, &claim), layer_bit(LAYER_SECCOMP));
}

static void test_landlock_keeps_in_what_its_version_can(void **state) {
        static const struct {
                Probe probe;
                int since;
        } wanted[] = {
                {PROBE_READ_SHADOW, 1},      {PROBE_WRITE_SHARED_FOLDER, 1},
                {PROBE_SERVER_MEMORY, 1},    {PROBE_CONNECT_SERVER, 4},
                {PROBE_CONNECT_ABSTRACT, 6}, {PROBE_SIGNAL_SERVER, 6},
                {PROBE_SIGNAL_NEIGHBOUR, 6},
        };

        for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
                for (int abi = 0; abi <= 7; abi++) {
                        ProofClaim claim = {.layers = layer_bit(LAYER_LANDLOCK),
                                            .landlock_abi = abi};

                        assert_int_equal(proof_defenders(wanted[i].probe, &claim) != 0,
                                         abi >= wanted[i].since);
                }
        }
}

/* Neither alone keeps root out of another worker's memory. */
static void test_some_layers_only_help_together(void **state) {
        LayerMask dumpable = layer_bit(LAYER_NOT_DUMPABLE),
                  capabilities = layer_bit(LAYER_CAPABILITIES);
        ProofClaim one = claim_of(dumpable), other = claim_of(capabilities);
        ProofClaim both = claim_of(dumpable | capabilities);

        assert_int_equal(proof_defenders(PROBE_NEIGHBOUR_MEMORY, &one), 0);
        assert_int_equal(proof_defenders(PROBE_NEIGHBOUR_MEMORY, &other), 0);
        assert_int_equal(proof_defenders(PROBE_NEIGHBOUR_MEMORY, &both), dumpable | capabilities);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_with_all_layers_nothing_is_left_open),
                cmocka_unit_test(test_without_layers_nothing_is_claimed),
                cmocka_unit_test(test_each_attempt_that_works_breaks_it),
                cmocka_unit_test(test_the_first_that_worked_is_named),
                cmocka_unit_test(test_what_was_not_tried_says_nothing),
                cmocka_unit_test(test_what_nobody_promises_may_work),
                cmocka_unit_test(test_defenders_are_of_the_claim),
                cmocka_unit_test(test_layers_that_show),
                cmocka_unit_test(test_processes_of_ones_own),
                cmocka_unit_test(test_landlock_keeps_in_what_its_version_can),
                cmocka_unit_test(test_some_layers_only_help_together),
        };

        return cmocka_run_group_tests_name("pool/proof", tests, NULL, NULL);
}
