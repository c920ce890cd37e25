/* The plan, for every kind of place that a server may find itself in; and what it says when that is
 * not enough. */

#include "pool/isolation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helpers.h"

#define BIT(name) ((LayerMask) 1 << LAYER_##name) /* a constant, which layer_bit() is not */

#define EVERYWHERE                                                                                 \
        (BIT(RLIMITS) | BIT(NO_NEW_PRIVILEGES) | BIT(CAPABILITIES) | BIT(NOT_DUMPABLE) |           \
         BIT(SECCOMP) | BIT(OOM_SCORE))
#define NAMESPACES                                                                                 \
        (BIT(PID_NAMESPACE) | BIT(MOUNT_NAMESPACE) | BIT(NET_NAMESPACE) | BIT(IPC_NAMESPACE) |     \
         BIT(UTS_NAMESPACE) | BIT(CGROUP_NAMESPACE))

/* What a survey finds there. */
typedef struct Place {
        const char *name;
        LayerMask there; /* no error */
        int landlock_abi;
        bool is_root, needs_user_namespace;
        LayerMask planned; /* on, when nothing was asked for */
        bool is_strict;
} Place;

static const Place places[] = {
        {"root", LAYERS_ALL, 7, true, false,
         LAYERS_ALL & ~(BIT(USER_NAMESPACE) | BIT(CORE_SCHEDULING)), true},
        {"root on a kernel without Landlock", LAYERS_ALL & ~BIT(LANDLOCK), 0, true, false,
         EVERYWHERE | NAMESPACES | BIT(UID) | BIT(CGROUP), true},
        {"a user who may make user namespaces",
         EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE) | BIT(LANDLOCK), 7, false, true,
         EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE) | BIT(LANDLOCK), true},
        {"the same, on a kernel without Landlock", EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE), 0,
         false, true, EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE), true},
        {"root in a container that may make user namespaces",
         EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE) | BIT(LANDLOCK) | BIT(UID), 5, true, true,
         EVERYWHERE | NAMESPACES | BIT(USER_NAMESPACE) | BIT(LANDLOCK) | BIT(UID), true},
        {"root in a container", EVERYWHERE | BIT(UID) | BIT(LANDLOCK), 6, true, true,
         EVERYWHERE | BIT(UID) | BIT(LANDLOCK), true},
        {"root in a container on an older kernel", EVERYWHERE | BIT(UID) | BIT(LANDLOCK), 5, true,
         true, EVERYWHERE | BIT(UID) | BIT(LANDLOCK), false},
        {"a user in a container", EVERYWHERE | BIT(LANDLOCK), 6, false, true,
         EVERYWHERE | BIT(LANDLOCK), true},
        {"a user in a container on an older kernel", EVERYWHERE | BIT(LANDLOCK), 4, false, true,
         EVERYWHERE | BIT(LANDLOCK), false},
        {"a user in a container without anything", EVERYWHERE, 0, false, true, EVERYWHERE, false},
};

/* The findings of namespaces that are there only inside of a user namespace are as good as none
 * when that is not there. */
static IsolationSurvey survey_of(const Place *place) {
        IsolationSurvey survey = {
                .landlock_abi = place->landlock_abi,
                .is_root = place->is_root,
                .needs_user_namespace = place->needs_user_namespace,
                .kernel = "6.1.0-test",
        };

        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                bool is_there = place->there & layer_bit((Layer) layer);

                survey.layers[layer] = (LayerFinding){is_there ? 0 : ENOSYS, "trying it"};
        }
        return survey;
}

static const IsolationConfig strict = {.mode = ISOLATION_STRICT, .worker_uid_base = 58000};

static char refusal[1024];

static int plan(IsolationConfig config, const Place *place, IsolationPlan *ret_plan) {
        IsolationSurvey survey = survey_of(place);

        return isolation_plan(&config, &survey, ret_plan, refusal, sizeof(refusal));
}

static IsolationConfig best_effort(void) {
        IsolationConfig config = strict;

        config.mode = ISOLATION_BEST_EFFORT;
        return config;
}

/* One line, that has all of these words. */
static void assert_refused(int r, const char *const *words) {
        assert_int_equal(r, -EPERM);
        assert_null(strchr(refusal, '\n'));
        for (; *words; words++) {
                if (!strstr(refusal, *words))
                        fail_msg("'%s' is not in: %s", *words, refusal);
        }
}

#define REFUSED(r, ...) assert_refused((r), (const char *const[]){__VA_ARGS__, NULL})

static const Place *place_named(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                if (strcmp(places[i].name, name) == 0)
                        return &places[i];
        }
        fail_msg("no such place: %s", name);
        return NULL;
}

static void test_each_place(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                IsolationPlan found;
                int r = plan(best_effort(), &places[i], &found);

                assert_int_equal(r, 0);
                assert_string_equal(refusal, "");
                if (found.layers != places[i].planned)
                        fail_msg("%s: %x instead of %x", places[i].name, found.layers,
                                 places[i].planned);
                for (unsigned layer = 0; layer < _LAYERS; layer++)
                        assert_int_equal(found.states[layer] == LAYER_ON,
                                         (found.layers & layer_bit((Layer) layer)) != 0);
                r = plan(strict, &places[i], &found);
                if ((r == 0) != places[i].is_strict)
                        fail_msg("%s: strict: %s", places[i].name, refusal);
        }
}

static void test_each_state_has_its_reason(void **state) {
        IsolationPlan found;

        assert_int_equal(plan(strict, place_named("root"), &found), 0);
        assert_int_equal(found.states[LAYER_USER_NAMESPACE], LAYER_NOT_NEEDED);
        assert_int_equal(found.states[LAYER_CORE_SCHEDULING], LAYER_SWITCHED_OFF);
        assert_int_equal(found.mode, ISOLATION_STRICT);
        assert_string_equal(found.survey.kernel, "6.1.0-test");
        assert_int_equal(plan(strict, place_named("a user in a container"), &found), 0);
        assert_int_equal(found.states[LAYER_UID], LAYER_UNAVAILABLE);
        assert_int_equal(found.states[LAYER_NET_NAMESPACE], LAYER_UNAVAILABLE);
        assert_false(isolation_has_cells(found.layers));
}

static void test_core_scheduling_is_asked_for(void **state) {
        IsolationConfig config = strict;
        IsolationPlan found;

        config.core_scheduling = true;
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        assert_true(found.layers & BIT(CORE_SCHEDULING));
}

/* ── Refusals ── */

/* Each layer that strict asks for in any case, missing and switched off. */
static void test_strict_without_one_of_the_first(void **state) {
        static const Layer always[] = {LAYER_RLIMITS, LAYER_NO_NEW_PRIVILEGES, LAYER_CAPABILITIES,
                                       LAYER_NOT_DUMPABLE, LAYER_SECCOMP};

        for (size_t i = 0; i < N_ELEMENTS(always); i++) {
                Place place = *place_named("root");
                IsolationConfig config = strict;
                IsolationPlan found;
                char words[64];

                place.there &= ~layer_bit(always[i]);
                (void) snprintf(words, sizeof(words), "%s is unavailable: trying it: ENOSYS",
                                layer_about(always[i])->name);
                REFUSED(plan(config, &place, &found), "strict", words, "Linux 6.1.0-test",
                        "--isolation best-effort");
                config.off = layer_bit(always[i]);
                (void) snprintf(words, sizeof(words), "%s is off", layer_about(always[i])->name);
                REFUSED(plan(config, place_named("root"), &found), "strict", words,
                        "--isolation best-effort");
                config.mode = ISOLATION_BEST_EFFORT;
                assert_int_equal(plan(config, place_named("root"), &found), 0);
                assert_int_equal(found.states[always[i]], LAYER_SWITCHED_OFF);
        }
}

static void test_strict_without_either_way(void **state) {
        IsolationPlan found;
        IsolationConfig config = strict;

        REFUSED(plan(strict, place_named("a user in a container on an older kernel"), &found),
                "userns is unavailable: trying it: ENOSYS", "netns is unavailable", "ABI 4",
                "landlock of ABI 6", "6.1.0-test");
        REFUSED(plan(strict, place_named("a user in a container without anything"), &found),
                "landlock is unavailable: trying it: ENOSYS");
        config.off = BIT(NET_NAMESPACE);
        REFUSED(plan(config, place_named("root on a kernel without Landlock"), &found),
                "netns is off; and landlock is unavailable");
        assert_null(strstr(refusal, "pidns is"));
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        config.off |= BIT(LANDLOCK);
        REFUSED(plan(config, place_named("root"), &found), "netns is off; and landlock is off");
}

/* A root that gives its workers no ids of their own has to have Landlock keep them apart. */
static void test_strict_with_workers_that_are_root(void **state) {
        IsolationConfig config = strict;
        IsolationPlan found;

        config.worker_uid_base = 0;
        REFUSED(plan(config, place_named("root on a kernel without Landlock"), &found),
                "uid is off");
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        assert_int_equal(found.states[LAYER_UID], LAYER_SWITCHED_OFF);
        /* As root, a user namespace does not help. */
        config.off = BIT(LANDLOCK);
        REFUSED(plan(config, place_named("root in a container that may make user namespaces"),
                     &found),
                "uid is off");
}

static void test_required(void **state) {
        IsolationConfig config = best_effort();
        IsolationPlan found;

        config.required = BIT(CGROUP) | BIT(SECCOMP);
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        REFUSED(plan(config, place_named("a user in a container"), &found), "--require-layers",
                "cgroup is unavailable: trying it: ENOSYS (Function not implemented)",
                "Linux 6.1.0-test", "leave cgroup out");
        assert_null(strstr(refusal, "seccomp"));
        config.required |= BIT(NET_NAMESPACE);
        REFUSED(plan(config, place_named("a user in a container"), &found), "netns", "cgroup",
                "leave them out");
        config.mode = ISOLATION_OFF;
        REFUSED(plan(config, place_named("root"), &found), "seccomp is off");
        config.required = BIT(RLIMITS);
        assert_int_equal(plan(config, place_named("root"), &found), 0);
}

/* Root with ids for its workers has what userns is for. */
static void test_required_but_not_needed(void **state) {
        IsolationConfig config = strict;
        IsolationPlan found;

        config.required = BIT(USER_NAMESPACE);
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        config.worker_uid_base = 0;
        REFUSED(plan(config, place_named("root"), &found), "userns is not needed");
}

/* ── What hangs on what ── */

static void test_followers_of_no_new_privs(void **state) {
        IsolationConfig config = best_effort();
        IsolationPlan found;

        config.off = BIT(NO_NEW_PRIVILEGES);
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        assert_int_equal(found.states[LAYER_SECCOMP], LAYER_SWITCHED_OFF);
        assert_int_equal(found.states[LAYER_LANDLOCK], LAYER_SWITCHED_OFF);
        assert_string_equal(found.survey.layers[LAYER_SECCOMP].tried, "without no_new_privs");
        assert_int_equal(found.states[LAYER_NET_NAMESPACE], LAYER_ON);
}

static void test_followers_of_userns(void **state) {
        IsolationConfig config = best_effort();
        IsolationPlan found;

        config.off = BIT(USER_NAMESPACE);
        assert_int_equal(plan(config, place_named("a user who may make user namespaces"), &found),
                         0);
        assert_int_equal(found.layers & NAMESPACES, 0);
        assert_int_equal(found.states[LAYER_PID_NAMESPACE], LAYER_SWITCHED_OFF);
        assert_int_equal(plan(config, place_named("root"), &found), 0);
        assert_int_equal(found.layers & NAMESPACES, NAMESPACES);
        assert_int_equal(found.states[LAYER_USER_NAMESPACE], LAYER_SWITCHED_OFF);
}

static void test_off_keeps_limits_only(void **state) {
        IsolationConfig config = strict;
        IsolationPlan found;

        config.mode = ISOLATION_OFF;
        for (size_t i = 0; i < N_ELEMENTS(places); i++) {
                assert_int_equal(plan(config, &places[i], &found), 0);
                assert_int_equal(found.layers, BIT(RLIMITS) | BIT(OOM_SCORE));
        }
        config.off = BIT(OOM_SCORE);
        assert_int_equal(plan(config, &places[0], &found), 0);
        assert_int_equal(found.layers, BIT(RLIMITS));
}

/* Workers that are born in groups of version 2 cannot have a namespace around them. */
static void test_groups_of_version_2_go_without_their_namespace(void **state) {
        static const LayerState wanted[] = {LAYER_ON, LAYER_ON, LAYER_NOT_NEEDED};
        IsolationConfig without = strict;

        without.off = BIT(CGROUP);
        for (int version = 0; version <= 2; version++) {
                IsolationSurvey survey = survey_of(place_named("root"));
                IsolationPlan found;

                survey.cgroup_version = version;
                assert_int_equal(isolation_plan(&strict, &survey, &found, refusal, sizeof(refusal)),
                                 0);
                assert_int_equal(found.states[LAYER_CGROUP_NAMESPACE], wanted[version]);
                assert_int_equal(
                        isolation_plan(&without, &survey, &found, refusal, sizeof(refusal)), 0);
                assert_int_equal(found.states[LAYER_CGROUP_NAMESPACE], LAYER_ON);
        }
}

static void test_refusal_is_cut(void **state) {
        IsolationSurvey survey = survey_of(place_named("a user in a container without anything"));
        IsolationPlan found;
        char small[32];

        memset(small, 'x', sizeof(small));
        assert_int_equal(isolation_plan(&strict, &survey, &found, small, sizeof(small)), -EPERM);
        assert_int_equal(strlen(small), sizeof(small) - 1);
}

static void test_names(void **state) {
        assert_string_equal(isolation_mode_name(ISOLATION_STRICT), "strict");
        assert_string_equal(isolation_mode_name(ISOLATION_BEST_EFFORT), "best-effort");
        assert_string_equal(isolation_mode_name(ISOLATION_OFF), "off");
        assert_string_equal(layer_state_name(LAYER_ON), "on");
        assert_string_equal(layer_state_name(LAYER_SWITCHED_OFF), "off");
        assert_string_equal(layer_state_name(LAYER_UNAVAILABLE), "unavailable");
        assert_string_equal(layer_state_name(LAYER_NOT_NEEDED), "not needed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_place),
                cmocka_unit_test(test_each_state_has_its_reason),
                cmocka_unit_test(test_core_scheduling_is_asked_for),
                cmocka_unit_test(test_strict_without_one_of_the_first),
                cmocka_unit_test(test_strict_without_either_way),
                cmocka_unit_test(test_strict_with_workers_that_are_root),
                cmocka_unit_test(test_required),
                cmocka_unit_test(test_required_but_not_needed),
                cmocka_unit_test(test_followers_of_no_new_privs),
                cmocka_unit_test(test_followers_of_userns),
                cmocka_unit_test(test_off_keeps_limits_only),
                cmocka_unit_test(test_groups_of_version_2_go_without_their_namespace),
                cmocka_unit_test(test_refusal_is_cut),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
