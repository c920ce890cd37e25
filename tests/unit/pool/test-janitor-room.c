/* How much memory questions to the janitor take. */

#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "folders.h"
#include "pool/janitor.h"

static Folder folder;
static Janitor *janitor;

static int set_up(void **state) {
        folder_make(&folder);
        /* A mapping of its own, with nothing in it that has been touched before, a page at a time.
         * A sanitizer's allocator takes no such order, and maps large blocks by itself. */
        (void) mallopt(M_MMAP_THRESHOLD, 1 << 16);
        assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
        return janitor_new(folder.fd, &janitor);
}

static int tear_down(void **state) {
        janitor = janitor_free(janitor);
        folder_remove(&folder);
        return 0;
}

/* Of the janitor's own memory. */
static size_t count_resident_pages(void) {
        size_t page_bytes = (size_t) sysconf(_SC_PAGESIZE);
        uintptr_t begin = (uintptr_t) janitor / page_bytes * page_bytes;
        uintptr_t end = (uintptr_t) janitor + malloc_usable_size(janitor);
        size_t n_pages = (end - begin + page_bytes - 1) / page_bytes, n_resident = 0;
        _autofree_ unsigned char *pages = calloc(n_pages, 1);

        assert_int_equal(mincore((void *) begin, end - begin, pages), 0);
        for (size_t i = 0; i < n_pages; i++)
                n_resident += pages[i] & 1;
        return n_resident;
}

static void ask_one_by_one(unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                uint64_t result = 0;

                janitor_measure_folder(janitor, folder.fd, &result);
                while (__atomic_load_n(&result, __ATOMIC_ACQUIRE) == 0)
                        (void) sched_yield();
        }
}

/* There is room for 8192 that wait, which takes no memory for as long as they do not. */
static void test_questions_one_by_one_take_the_room_of_one(void **state) {
        size_t n_pages;

        ask_one_by_one(10);
        n_pages = count_resident_pages();
        assert_true(n_pages > 0);
        ask_one_by_one(8192);
        assert_in_range(count_resident_pages(), 1, n_pages);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_questions_one_by_one_take_the_room_of_one,
                                                set_up, tear_down),
        };

        return cmocka_run_group_tests_name("janitor-room", tests, NULL, NULL);
}
