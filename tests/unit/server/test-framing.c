/* Which heads are beyond doubt about where the request ends. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/framing.h"

typedef struct Case {
        const char *head;
        const char *problem; /* part of the sentence; NULL: none */
} Case;

#define REQUEST "POST /v1/execute HTTP/1.1\r\n"

static const Case cases[] = {
        {REQUEST "Host: a\r\nContent-Length: 2\r\n\r\n{}", NULL},
        {REQUEST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL},
        {REQUEST "\r\n", NULL},
        {"\r\n" REQUEST "Content-Length: 2\r\n\r\n", NULL},
        /* What follows the head is no header, whatever it looks like. */
        {REQUEST "Content-Length: 40\r\n\r\nContent-Length: 40\r\nTransfer-Encoding: x\r\n", NULL},
        {REQUEST "Content-Length: 40\n\nContent-Length: 40\n", NULL},
        {REQUEST "X-Content-Length: 2\r\nContent-Length: 2\r\n\r\n", NULL},

        {REQUEST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "more than one Content-Length"},
        {REQUEST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", "more than one Content-Length"},
        {REQUEST "content-length: 2\r\nHost: a\r\nCONTENT-LENGTH: 2\r\n\r\n",
         "more than one Content-Length"},
        {REQUEST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "both"},
        {REQUEST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "both"},
        {REQUEST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
         "more than one Transfer-Encoding"},
        {REQUEST "Content-Length: 2\nTransfer-Encoding: chunked\n\n", "both"},
        {REQUEST "X: a\r\n b\r\nContent-Length: 2\r\n\r\n", "second line"},
        {REQUEST "X: a\r\n\tContent-Length: 2\r\n\r\n", "second line"},
};

static void test_heads(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const char *problem = framing_problem_of_head(slice_of_text(cases[i].head));

                if (!cases[i].problem && problem)
                        fail_msg("case %zu: %s", i, problem);
                if (cases[i].problem && (!problem || !strstr(problem, cases[i].problem)))
                        fail_msg("case %zu: %s", i, problem ? problem : "no problem seen");
        }
}

/* A head that is cut anywhere must not be read past its end; the sanitizer build sees it. */
static void test_every_prefix(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                for (size_t size = 0; size <= strlen(cases[i].head); size++) {
                        _autofree_ uint8_t *copy = malloc(size + 1);

                        memcpy(copy, cases[i].head, size);
                        (void) framing_problem_of_head(slice_of(copy, size));
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_heads),
                cmocka_unit_test(test_every_prefix),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
