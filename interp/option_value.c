#include "interp/option_value.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "kit/log.h"

int option_number(const char *text, uint64_t maximum, uint64_t *ret_number) {
        unsigned long long number;
        char *end;

        /* strtoull() takes white space and signs before them. */
        if (text[0] < '0' || text[0] > '9')
                return -1;
        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno || *end || number > maximum)
                return -1;
        *ret_number = number;
        return 0;
}

int option_descriptor(const char *text, int *ret_fd) {
        uint64_t number;

        if (option_number(text, INT_MAX, &number) < 0 || number <= STDERR_FILENO)
                return -1;
        *ret_fd = (int) number;
        return 0;
}

int option_log_level(const char *text) {
        LogLevel level;

        if (log_level_parse(text, &level) < 0)
                return -1;
        log_set_level(level);
        return 0;
}
