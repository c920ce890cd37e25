#pragma once
/* skip: ends a test that cannot be done here, and says why. */

#include <cmocka.h>

/* tests/harness/tap.py looks for the first word; cmocka's own skip() takes no reason. */
#define skip_because(...)                                                                          \
        do {                                                                                       \
                print_message("skipped: " __VA_ARGS__);                                            \
                print_message("\n");                                                               \
                skip();                                                                            \
        } while (0)
