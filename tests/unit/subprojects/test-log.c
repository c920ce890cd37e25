#include "kit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "kit/error.h"

/* Standard error is a pipe from capture() to captured(); a line is far shorter than a pipe holds.
 */
static int saved_stderr, read_end;
static char lines[16384];

static void capture(void) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(saved_stderr >= 0);
        assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(close(fds[1]), 0);
        read_end = fds[0];
}

static const char *captured(void) {
        ssize_t n = read(read_end, lines, sizeof(lines) - 1);

        assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
        (void) close(saved_stderr);
        (void) close(read_end);
        lines[n > 0 ? n : 0] = '\0';
        return lines;
}

static bool matches(const char *text, const char *pattern) {
        regex_t regex;
        bool match;

        assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        match = regexec(&regex, text, 0, NULL, 0) == 0;
        regfree(&regex);
        return match;
}

static int set_defaults(void **state) {
        log_set_level(LOG_LEVEL_INFO);
        log_set_name("test");
        return 0;
}

static void test_one_line(void **state) {
        capture();
        log_info("listening port=%d", 8000);
        assert_true(matches(captured(), "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
                                        "\\.[0-9]{3}Z info test: listening port=8000\n$"));
}

static void test_levels_above_are_dropped(void **state) {
        capture();
        log_set_level(LOG_LEVEL_WARNING);
        log_debug("a");
        log_info("b");
        log_warning("c");
        log_error("d");
        assert_true(matches(captured(), "^[^\n]* warning test: c\n[^\n]* error test: d\n$"));
}

static void test_controls_cannot_break_a_line(void **state) {
        capture();
        log_info("%s", "a\nb\r\x1b[2J\x7f\tc\u00e9");
        assert_true(strstr(captured(), "test: a\\x0ab\\x0d\\x1b[2J\\x7f\\x09c\u00e9\n"));
}

static void test_long_lines_are_cut_and_end(void **state) {
        char text[10000];
        const char *line;
        size_t size;

        /* The worst case: each byte takes four. */
        for (int byte = 'x';; byte = '\n') {
                memset(text, byte, sizeof(text) - 1);
                text[sizeof(text) - 1] = '\0';
                capture();
                log_info("%s", text);
                line = captured();
                size = strlen(line);
                assert_true(size > 4000 && size < 4300);
                assert_ptr_equal(strchr(line, '\n'), line + size - 1);
                if (byte == '\n')
                        break;
        }
}

static void test_name_is_cut(void **state) {
        capture();
        log_set_name("0123456789012345678901234567890123456789");
        log_info("x");
        assert_true(strstr(captured(), " info 01234567890123456789012345678901: x\n"));
}

static void test_parse(void **state) {
        LogLevel level = LOG_LEVEL_INFO;

        assert_int_equal(log_level_parse("error", &level), 0);
        assert_int_equal(level, LOG_LEVEL_ERROR);
        assert_int_equal(log_level_parse("warning", &level), 0);
        assert_int_equal(level, LOG_LEVEL_WARNING);
        assert_int_equal(log_level_parse("info", &level), 0);
        assert_int_equal(level, LOG_LEVEL_INFO);
        assert_int_equal(log_level_parse("debug", &level), 0);
        assert_int_equal(level, LOG_LEVEL_DEBUG);
        assert_int_equal(log_level_parse("Debug", &level), -1);
        assert_int_equal(log_level_parse("", &level), -1);
        assert_int_equal(level, LOG_LEVEL_DEBUG);
}

static void test_raise(void **state) {
        capture();
        errno = ENOENT;
        assert_int_equal(raise_errno("open %s", "/x"), -ENOENT);
        assert_int_equal(raise_error(-EPERM, "y"), -EPERM);
        errno = 0;
        assert_int_equal(raise_errno("too late"), -EIO);
        assert_true(matches(captured(),
                            "^[^\n]* error test: open /x: No such file or directory at=[^\n]*"
                            "test-log\\.c:[0-9]+\n[^\n]* y: Operation not permitted at=[^\n]*\n"
                            "[^\n]* too late: Input/output error at=[^\n]*\n$"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_one_line, set_defaults),
                cmocka_unit_test_setup(test_levels_above_are_dropped, set_defaults),
                cmocka_unit_test_setup(test_controls_cannot_break_a_line, set_defaults),
                cmocka_unit_test_setup(test_long_lines_are_cut_and_end, set_defaults),
                cmocka_unit_test_setup(test_name_is_cut, set_defaults),
                cmocka_unit_test_setup(test_parse, set_defaults),
                cmocka_unit_test_setup(test_raise, set_defaults),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
