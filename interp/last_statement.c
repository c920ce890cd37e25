#include "interp/last_statement.h"

#include <stdbool.h>
#include <string.h>

#include "kit/cleanup.h"

static bool is_word_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || (c & 0x80);
}

/* The start of the last line that has a character of code in column 0. */
static size_t last_line_in_column_0(const char *text, size_t size) {
        size_t end = size;

        while (end > 0) {
                const char *newline = memrchr(text, '\n', end - 1);
                size_t start = newline ? (size_t) (newline - text) + 1 : 0;

                if (start < size && !strchr(" \t\r\n\f\\#)]}", text[start]))
                        return start;
                end = start;
        }
        return 0;
}

/* Words that begin a statement and cannot begin an expression; all are reserved. */
static bool begins_statement(const char *text) {
        static const char *const words[] = {
                "assert", "async",  "break",  "class", "continue", "def",      "del",
                "for",    "from",   "global", "if",    "import",   "nonlocal", "pass",
                "raise",  "return", "try",    "while", "with",
        };
        size_t length = 0;

        while (is_word_char(text[length]))
                length++;
        for (size_t i = 0; i < N_ELEMENTS(words); i++) {
                if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0)
                        return true;
        }
        return false;
}

/* Skips a string that begins at *at, its quote; false when it does not end, or is written in a way
 * that needs a parser. */
static bool skip_string(const char *text, size_t *at) {
        char quote = text[*at];
        bool is_triple = text[*at + 1] == quote && text[*at + 2] == quote;
        size_t i = *at + (is_triple ? 3 : 1);

        for (size_t back = *at; back > 0 && is_word_char(text[back - 1]); back--) {
                /* From 3.12 on an f-string may hold its own quote. */
                if (strchr("fFtT", text[back - 1]))
                        return false;
        }
        for (; text[i]; i++) {
                if (text[i] == '\\' && text[i + 1])
                        i++;
                else if (text[i] == '\n' && !is_triple)
                        return false;
                else if (text[i] == quote &&
                         (!is_triple || (text[i + 1] == quote && text[i + 2] == quote))) {
                        *at = i + (is_triple ? 3 : 1);
                        return true;
                }
        }
        return false;
}

static bool is_assignment(const char *text, size_t at) {
        return text[at] == '=' && !(at > 0 && strchr("!<>:", text[at - 1]));
}

/* Looks for an assignment and for further statements, outside of brackets. */
static LastKind classify(const char *text) {
        bool has_lambda = strstr(text, "lambda");
        LastKind kind = begins_statement(text) ? LAST_IS_STATEMENT : LAST_IS_EXPRESSION;
        unsigned depth = 0;
        size_t i = 0;

        if (text[0] == '@')
                return LAST_IS_UNSURE;
        while (text[i]) {
                char c = text[i];

                if (c == '"' || c == '\'') {
                        if (!skip_string(text, &i))
                                return LAST_IS_UNSURE;
                        continue;
                }
                if (c == '#') {
                        i += strcspn(text + i, "\n");
                        continue;
                }
                if (c == ';' && depth == 0)
                        return LAST_IS_UNSURE;
                if (c == '=' && text[i + 1] == '=')
                        i++;
                else if (depth == 0 && is_assignment(text, i)) {
                        /* A default value of a lambda is no assignment. */
                        if (has_lambda)
                                return LAST_IS_UNSURE;
                        kind = LAST_IS_STATEMENT;
                } else if (strchr("([{", c))
                        depth++;
                else if (strchr(")]}", c) && depth > 0)
                        depth--;
                i++;
        }
        return kind;
}

static size_t count_lines(const char *text, size_t size) {
        size_t count = 0;
        const char *end = text + size;

        for (const char *at = text; (at = memchr(at, '\n', (size_t) (end - at))); at++)
                count++;
        return count;
}

LastStatement find_last_statement(const char *text, size_t size) {
        LastStatement last = {.kind = LAST_IS_UNSURE};

        /* Other line ends, and a form feed, which puts what follows it into column 0. */
        if (memchr(text, '\r', size) || memchr(text, '\f', size))
                return last;
        last.offset = last_line_in_column_0(text, size);
        last.kind = classify(text + last.offset);
        last.n_lines_before = count_lines(text, last.offset);
        return last;
}
