#include "kit/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kit/cleanup.h"

#define LINE_MAX_BYTES 4096

static const char *const level_names[] = {
        [LOG_LEVEL_ERROR] = "error",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_DEBUG] = "debug",
};

static LogLevel log_level = LOG_LEVEL_INFO;
static char log_name[33] = "hatchery";

void log_set_level(LogLevel level) {
        log_level = level;
}

void log_set_name(const char *name) {
        (void) snprintf(log_name, sizeof(log_name), "%s", name);
}

int log_level_parse(const char *name, LogLevel *ret_level) {
        for (size_t i = 0; i < N_ELEMENTS(level_names); i++) {
                if (strcmp(name, level_names[i]) == 0) {
                        *ret_level = (LogLevel) i;
                        return 0;
                }
        }
        return -1;
}

/* Everything below space and DEL becomes \xNN; returns the bytes used. */
static size_t escape_controls(const char *text, char *out, size_t out_size) {
        static const char hex[] = "0123456789abcdef";
        size_t used = 0;

        for (; *text && used + 5 < out_size; text++) {
                unsigned char c = (unsigned char) *text;

                if (c >= 0x20 && c != 0x7f) {
                        out[used++] = (char) c;
                        continue;
                }
                out[used++] = '\\';
                out[used++] = 'x';
                out[used++] = hex[c >> 4];
                out[used++] = hex[c & 15];
        }
        return used;
}

void log_line(LogLevel level, const char *format, ...) {
        char message[LINE_MAX_BYTES];
        char line[LINE_MAX_BYTES + 128];
        struct timespec now;
        struct tm utc;
        va_list arguments;
        size_t used;

        if (level > log_level)
                return;

        va_start(arguments, format);
        (void) vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);

        (void) clock_gettime(CLOCK_REALTIME, &now);
        (void) gmtime_r(&now.tv_sec, &utc);
        used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
        used += (size_t) snprintf(line + used, sizeof(line) - used,
                                  ".%03ldZ %s %s: ", now.tv_nsec / 1000000, level_names[level],
                                  log_name);
        used += escape_controls(message, line + used, sizeof(line) - used - 1);
        line[used++] = '\n';

        /* A log that cannot be written has nowhere to be reported. */
        if (write(STDERR_FILENO, line, used) < 0)
                return;
}
