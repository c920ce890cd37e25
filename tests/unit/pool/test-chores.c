/* Threads that work on files beside the loop: each chore is done once, none is lost, no more wait
 * than may. */

#include "pool/chores.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "helpers.h"

#define N_MAX 64

typedef struct Job {
        Chore chore;
        int value;
        _Atomic int worked;
        int done;
        pthread_t worker;
} Job;

static Job jobs[N_MAX];
static Chores *chores;

/* A gate that a chore stands before, so that a test knows what waits. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int work(Chore *chore) {
        Job *job = (Job *) chore;

        (void) pthread_mutex_lock(&gate);
        (void) pthread_mutex_unlock(&gate);
        job->worker = pthread_self();
        atomic_fetch_add(&job->worked, 1);
        return job->value;
}

static pthread_t loop;

static void done(Chore *chore, int result) {
        Job *job = (Job *) chore;

        assert_true(pthread_equal(loop, pthread_self()));
        assert_int_equal(atomic_load(&job->worked), 1);
        assert_int_equal(result, job->value);
        job->done++;
}

static int set_up(void **state) {
        loop = pthread_self();
        memset(jobs, 0, sizeof(jobs));
        for (int i = 0; i < N_MAX; i++) {
                jobs[i].chore = (Chore){.work = work, .done = done};
                jobs[i].value = i % 2 ? -i : i;
        }
        return chores_new(2, N_MAX, &chores);
}

static int tear_down(void **state) {
        chores = chores_free(chores);
        return 0;
}

static void dispatch_until(int n) {
        for (;;) {
                struct pollfd pollfd = {.fd = chores_fd(chores), .events = POLLIN};
                int n_done = 0;

                for (int i = 0; i < N_MAX; i++)
                        n_done += jobs[i].done;
                if (n_done >= n)
                        return;
                assert_int_equal(poll(&pollfd, 1, 60000), 1);
                chores_dispatch(chores);
        }
}

static void test_each_is_done_once_with_its_result(void **state) {
        for (int i = 0; i < N_MAX; i++)
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        dispatch_until(N_MAX);
        for (int i = 0; i < N_MAX; i++) {
                assert_int_equal(jobs[i].done, 1);
                assert_false(pthread_equal(jobs[i].worker, loop));
        }
}

static void test_no_more_wait_than_may(void **state) {
        Job one_more = {.chore = {.work = work, .done = done}};

        (void) pthread_mutex_lock(&gate);
        for (int i = 0; i < N_MAX; i++)
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        assert_int_equal(chores_add(chores, &one_more.chore), -EAGAIN);
        (void) pthread_mutex_unlock(&gate);
        dispatch_until(N_MAX);
        assert_int_equal(chores_add(chores, &one_more.chore), 0);
        chores = chores_free(chores);
        assert_int_equal(one_more.done, 1);
}

static void test_nothing_is_readable_without_news(void **state) {
        struct pollfd pollfd = {.fd = chores_fd(chores), .events = POLLIN};

        assert_int_equal(poll(&pollfd, 1, 0), 0);
        chores_dispatch(chores);
        assert_int_equal(chores_add(chores, &jobs[0].chore), 0);
        dispatch_until(1);
        assert_int_equal(poll(&pollfd, 1, 0), 0);
}

static void test_an_end_does_what_waits(void **state) {
        (void) pthread_mutex_lock(&gate);
        for (int i = 0; i < N_MAX; i++)
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        (void) pthread_mutex_unlock(&gate);
        chores = chores_free(chores);
        for (int i = 0; i < N_MAX; i++)
                assert_int_equal(jobs[i].done, 1);
}

/* --- lanes --- */

static pthread_mutex_t long_gate = PTHREAD_MUTEX_INITIALIZER;

/* Finds out that it is long, and then takes until the gate is opened. */
static int long_work(Chore *chore) {
        if (!chore->is_long)
                return CHORE_IS_LONG;
        (void) pthread_mutex_lock(&long_gate);
        (void) pthread_mutex_unlock(&long_gate);
        return work(chore);
}

static void test_long_ones_do_not_hold_up_short_ones(void **state) {
        (void) pthread_mutex_lock(&long_gate);
        for (int i = 0; i < N_MAX / 2; i++) {
                jobs[i].chore.work = long_work;
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        }
        for (int i = N_MAX / 2; i < N_MAX; i++)
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        dispatch_until(N_MAX / 2);
        for (int i = 0; i < N_MAX; i++)
                assert_int_equal(jobs[i].done, i >= N_MAX / 2);
        (void) pthread_mutex_unlock(&long_gate);
        dispatch_until(N_MAX);
}

static unsigned n_refused;

static void done_or_refused(Chore *chore, int result) {
        Job *job = (Job *) chore;

        n_refused += result == -EAGAIN;
        job->done++;
}

/* Or short ones would not find a place to wait any more. */
static void test_long_ones_take_half_of_the_places(void **state) {
        (void) pthread_mutex_lock(&long_gate);
        for (int i = 0; i < N_MAX; i++) {
                jobs[i].chore = (Chore){.work = long_work, .done = done_or_refused};
                jobs[i].value = 0;
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        }
        dispatch_until(N_MAX / 2);
        assert_int_equal(n_refused, N_MAX / 2);
        (void) pthread_mutex_unlock(&long_gate);
        dispatch_until(N_MAX);
        assert_int_equal(n_refused, N_MAX / 2);
}

static void test_an_end_does_long_ones_too(void **state) {
        (void) pthread_mutex_lock(&gate);
        for (int i = 0; i < N_MAX / 2; i++) {
                jobs[i].chore.work = i % 2 ? long_work : work;
                assert_int_equal(chores_add(chores, &jobs[i].chore), 0);
        }
        (void) pthread_mutex_unlock(&gate);
        chores = chores_free(chores);
        for (int i = 0; i < N_MAX / 2; i++)
                assert_int_equal(jobs[i].done, 1);
}

static void done_and_again(Chore *chore, int result) {
        Job *job = (Job *) chore;

        if (++job->done < 3) {
                atomic_store(&job->worked, 0);
                assert_int_equal(chores_add(chores, chore), 0);
        }
}

static void test_done_may_add_again(void **state) {
        jobs[0].chore.done = done_and_again;
        assert_int_equal(chores_add(chores, &jobs[0].chore), 0);
        dispatch_until(3);
}

static void test_done_may_add_at_the_end(void **state) {
        jobs[0].chore.done = done_and_again;
        assert_int_equal(chores_add(chores, &jobs[0].chore), 0);
        /* The pointer is needed by done() until the end has come. */
        assert_null(chores_free(chores));
        chores = NULL;
        assert_int_equal(jobs[0].done, 3);
}

#define chores_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                chores_test(test_each_is_done_once_with_its_result),
                chores_test(test_no_more_wait_than_may),
                chores_test(test_nothing_is_readable_without_news),
                chores_test(test_an_end_does_what_waits),
                chores_test(test_long_ones_do_not_hold_up_short_ones),
                chores_test(test_long_ones_take_half_of_the_places),
                chores_test(test_an_end_does_long_ones_too),
                chores_test(test_done_may_add_again),
                chores_test(test_done_may_add_at_the_end),
        };

        return cmocka_run_group_tests_name("chores", tests, NULL, NULL);
}
