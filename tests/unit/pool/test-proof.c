/* What a canary's answers say about the layers: who must stop what, and what follows when nobody
 * has. */

#include "pool/proof.h"

#include <errno.h>

#include "helpers.h"

/* A copy has all the ways that there are. */
static const ProofClaim everything = {
        .subject = PROOF_OF_COPIES, .layers = LAYERS_ALL, .landlock_abi = 7};

static ProofClaim claim_of(LayerMask layers) {
        return (ProofClaim){.layers = layers, .landlock_abi = 7};
}

static ProofClaim claim_of_copies(LayerMask layers) {
        return (ProofClaim){.subject = PROOF_OF_COPIES, .layers = layers, .landlock_abi = 7};
}

static unsigned count_attempts(const ProofClaim *claim) {
        ProbeSet attempts = proof_attempts(claim);
        unsigned n = 0;

        for (unsigned i = 0; i < _PROBES; i++)
                n += probe_is_in(&attempts, (Probe) i);
        return n;
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

        assert_int_equal(count_attempts(&everything), _PROBES);
        proof_judge(&answer, &everything, &result);
        assert_true(result.holds);
        assert_int_equal(result.tried, _PROBES);
        assert_int_equal(result.stopped, _PROBES);
}

static void test_without_layers_nothing_is_claimed(void **state) {
        ProofClaim claim = claim_of(0);
        ProbeAnswer answer = answer_of(PROBE_SUCCEEDED);
        ProofResult result;

        assert_int_equal(count_attempts(&claim), 0);
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
                ProofClaim alone = claim_of_copies(layer_bit((Layer) layer));
                ProofClaim without = claim_of_copies(LAYERS_ALL & ~layer_bit((Layer) layer));

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
                if (i != PROBE_INHERITED_DESCRIPTOR && i != PROBE_CONTROL_UNASKED)
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

/* Each subject has the ways of the one before it. */
static void test_who_has_which_ways(void **state) {
        static const struct {
                Probe probe;
                ProofSubject first;
        } wanted[] = {
                {PROBE_READ_SHADOW, PROOF_OF_RUNS},     {PROBE_NEW_PROCESS, PROOF_OF_RUNS},
                {PROBE_USERFAULTFD, PROOF_OF_RUNS},     {PROBE_READ_OTHER_HOME, PROOF_OF_SESSIONS},
                {PROBE_COPY_UNTOLD, PROOF_OF_SESSIONS}, {PROBE_CONTROL_UNASKED, PROOF_OF_SESSIONS},
                {PROBE_READ_SOURCE, PROOF_OF_COPIES},   {PROBE_SIGNAL_SOURCE, PROOF_OF_COPIES},
        };

        for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
                for (unsigned subject = 0; subject < _PROOFS; subject++) {
                        ProofClaim claim = {.subject = (ProofSubject) subject,
                                            .layers = LAYERS_ALL,
                                            .landlock_abi = 7};

                        assert_int_equal(proof_defenders(wanted[i].probe, &claim) != 0,
                                         subject >= wanted[i].first);
                }
        }
}

/* They have one uid, one cell, and one view of the system. */
static void test_what_keeps_copies_apart(void **state) {
        LayerMask landlock = layer_bit(LAYER_LANDLOCK), filter = layer_bit(LAYER_SECCOMP);
        ProofClaim without_both = claim_of_copies(LAYERS_ALL & ~landlock & ~filter);
        ProofClaim session = {
                .subject = PROOF_OF_SESSIONS, .layers = LAYERS_ALL, .landlock_abi = 7};

        assert_int_equal(proof_defenders(PROBE_READ_SOURCE, &everything), landlock);
        assert_int_equal(proof_defenders(PROBE_WRITE_SOURCE, &everything), landlock);
        assert_int_equal(proof_defenders(PROBE_WRITE_SOURCE_TEMPORARY, &everything), landlock);
        assert_int_equal(proof_defenders(PROBE_CHANGE_MODE_SOURCE, &everything), filter);
        assert_int_equal(proof_defenders(PROBE_SIGNAL_SOURCE, &everything), landlock | filter);
        assert_int_equal(proof_defenders(PROBE_SIGNAL_SOURCE, &without_both), 0);
        assert_int_equal(proof_defenders(PROBE_WRITE_BESIDE_WORKSPACE, &everything),
                         landlock | layer_bit(LAYER_UID));
        assert_int_equal(proof_defenders(PROBE_WRITE_BESIDE_WORKSPACE, &session),
                         layer_bit(LAYER_UID));
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
                cmocka_unit_test(test_who_has_which_ways),
                cmocka_unit_test(test_what_keeps_copies_apart),
        };

        return cmocka_run_group_tests_name("pool/proof", tests, NULL, NULL);
}
