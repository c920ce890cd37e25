#include "kit/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kit/log.h"

int kit_raise(int error, const char *file, int line, const char *format, ...) {
        char what[512];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(what, sizeof(what), format, arguments);
        va_end(arguments);

        /* errno can be 0 when a caller raises too late; a failure must still look like one. */
        if (error >= 0)
                error = -EIO;
        log_error("%s: %s at=%s:%d", what, strerror(-error), file, line);
        return error;
}
