#pragma once
/* The list of what the filters decide, as it was last read by people and committed. */

#include <stdbool.h>

#include "interp/filter/policy.h"

#define GOLDEN_PATH_VARIABLE "GOLDEN_SYSTEM_CALLS"

typedef struct Golden {
        bool is_listed;
        int answer;      /* as a Rule's, when there is no check or its check holds */
        bool is_checked; /* else it is ANSWER_DEFAULT */
} Golden;

/* The whole file; free() it. Fails the test when there is none. */
char *golden_read(void);

/* What it says of one call. */
Golden golden_find(const char *text, const char *name, Profile profile);
