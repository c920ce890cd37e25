#pragma once
/*
 * log: one line per event on standard error, `time level message key=value …`. A line is written
 * with one write(2), so lines of several processes do not mix. Control characters are escaped, so
 * that bytes of a client can neither break a line nor move a terminal's cursor.
 */

#include <stdarg.h>

typedef enum LogLevel {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
} LogLevel;

/* Lines above this level are dropped. Default LOG_LEVEL_INFO. */
void log_set_level(LogLevel level);

/* Names the process in every line, for instance "hatchery" or "zygote:default". Copied, cut at 32
 * bytes. */
void log_set_name(const char *name);

/* Returns 0, or -1 when the name is none of error, warning, info, debug. */
int log_level_parse(const char *name, LogLevel *ret_level);

void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
