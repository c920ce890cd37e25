#include "jsontext/scan.h"

#include <assert.h>
#include <stdint.h>

#include "jsontext/plain.h"
#include "jsontext/utf8.h"

typedef struct Scanner {
        const uint8_t *start;
        const uint8_t *at;
        const uint8_t *end;
        unsigned flags;
        unsigned depth;
        uint64_t
                objects[JSON_DEPTH_MAX / 64]; /* one bit for each open container: is it an object */
        JsonError error;
} Scanner;

static bool is_digit(uint8_t c) {
        return c >= '0' && c <= '9';
}

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end) {
        while (at < end && is_json_space(*at))
                at++;
        return at;
}

static bool fail(Scanner *scanner, JsonProblem problem, const uint8_t *where) {
        scanner->error = (JsonError){problem, (size_t) (where - scanner->start)};
        return false;
}

static bool fail_here(Scanner *scanner) {
        return fail(scanner, scanner->at < scanner->end ? JSON_SYNTAX : JSON_TRUNCATED,
                    scanner->at);
}

static bool in_object(const Scanner *scanner) {
        unsigned level = scanner->depth - 1;

        return scanner->objects[level / 64] >> level % 64 & 1;
}

static bool push(Scanner *scanner, bool object) {
        unsigned level = scanner->depth;
        uint64_t bit = 1ULL << level % 64;

        if (level == JSON_DEPTH_MAX)
                return fail(scanner, JSON_TOO_DEEP, scanner->at);
        if (object)
                scanner->objects[level / 64] |= bit;
        else
                scanner->objects[level / 64] &= ~bit;
        scanner->depth++;
        scanner->at++;
        return true;
}

/* Sets *ret_unit to the code unit of the four digits at `at`. */
static bool hex_unit(const uint8_t *at, unsigned *ret_unit) {
        unsigned unit = 0;

        for (size_t i = 0; i < 4; i++) {
                uint8_t c = at[i];

                if (is_digit(c))
                        unit = unit << 4 | (unsigned) (c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        unit = unit << 4 | (unsigned) ((c | 0x20) - 'a' + 10);
                else
                        return false;
        }
        *ret_unit = unit;
        return true;
}

/* The scanner stands on the backslash. */
static bool scan_unicode_escape(Scanner *scanner) {
        const uint8_t *escape = scanner->at;
        unsigned unit, second;

        if (scanner->end - escape < 6)
                return fail(scanner, JSON_BAD_ESCAPE, escape);
        if (!hex_unit(escape + 2, &unit))
                return fail(scanner, JSON_BAD_ESCAPE, escape);
        scanner->at += 6;
        if (!(scanner->flags & JSON_REFUSE_LONE_SURROGATES) || unit < 0xd800 || unit > 0xdfff)
                return true;

        if (unit > 0xdbff || scanner->end - scanner->at < 6 || scanner->at[0] != '\\' ||
            scanner->at[1] != 'u' || !hex_unit(scanner->at + 2, &second) || second < 0xdc00 ||
            second > 0xdfff)
                return fail(scanner, JSON_LONE_SURROGATE, escape);
        scanner->at += 6;
        return true;
}

static bool scan_escape(Scanner *scanner) {
        if (scanner->end - scanner->at < 2)
                return fail(scanner, JSON_TRUNCATED, scanner->end);

        switch (scanner->at[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                scanner->at += 2;
                return true;
        case 'u':
                return scan_unicode_escape(scanner);
        default:
                return fail(scanner, JSON_BAD_ESCAPE, scanner->at);
        }
}

/* The scanner stands on the opening quote. */
static bool scan_string(Scanner *scanner) {
        scanner->at++;
        for (;;) {
                Slice rest = slice_of(scanner->at, (size_t) (scanner->end - scanner->at));
                size_t plain = plain_prefix(rest);
                uint8_t c;

                scanner->at += plain;
                if (scanner->at == scanner->end)
                        return fail(scanner, JSON_TRUNCATED, scanner->at);
                c = *scanner->at;
                if (c == '"') {
                        scanner->at++;
                        return true;
                }
                if (c == '\\') {
                        if (!scan_escape(scanner))
                                return false;
                } else if (c < 0x20) {
                        return fail(scanner, JSON_CONTROL, scanner->at);
                } else {
                        size_t wide = utf8_valid_wide_prefix(
                                slice_of(rest.data + plain, rest.size - plain));

                        if (wide == 0)
                                return fail(scanner, JSON_BAD_UTF8, scanner->at);
                        scanner->at += wide;
                }
        }
}

static bool scan_word(Scanner *scanner, const char *word) {
        for (; *word; word++, scanner->at++)
                if (scanner->at == scanner->end || *scanner->at != (uint8_t) *word)
                        return fail_here(scanner);
        return true;
}

static bool scan_digits(Scanner *scanner) {
        if (scanner->at == scanner->end || !is_digit(*scanner->at))
                return fail_here(scanner);
        while (scanner->at < scanner->end && is_digit(*scanner->at))
                scanner->at++;
        return true;
}

static bool scan_number(Scanner *scanner) {
        if (*scanner->at == '-') {
                scanner->at++;
                if (scanner->flags & JSON_ALLOW_NAN && scanner->at < scanner->end &&
                    *scanner->at == 'I')
                        return scan_word(scanner, "Infinity");
        }
        /* A leading zero stands alone; the digit after it is then what cannot follow a value. */
        if (scanner->at < scanner->end && *scanner->at == '0')
                scanner->at++;
        else if (!scan_digits(scanner))
                return false;

        if (scanner->at < scanner->end && *scanner->at == '.') {
                scanner->at++;
                if (!scan_digits(scanner))
                        return false;
        }
        if (scanner->at < scanner->end && (*scanner->at | 0x20) == 'e') {
                scanner->at++;
                if (scanner->at < scanner->end && (*scanner->at == '+' || *scanner->at == '-'))
                        scanner->at++;
                return scan_digits(scanner);
        }
        return true;
}

static bool scan_scalar(Scanner *scanner) {
        switch (*scanner->at) {
        case '"':
                return scan_string(scanner);
        case '-':
        case '0' ... '9':
                return scan_number(scanner);
        case 't':
                return scan_word(scanner, "true");
        case 'f':
                return scan_word(scanner, "false");
        case 'n':
                return scan_word(scanner, "null");
        case 'N':
                if (scanner->flags & JSON_ALLOW_NAN)
                        return scan_word(scanner, "NaN");
                return fail_here(scanner);
        case 'I':
                if (scanner->flags & JSON_ALLOW_NAN)
                        return scan_word(scanner, "Infinity");
                return fail_here(scanner);
        default:
                return fail_here(scanner);
        }
}

/* A member's name, its colon, and the white space around them. */
static bool scan_key(Scanner *scanner) {
        scanner->at = skip_space(scanner->at, scanner->end);
        if (scanner->at == scanner->end || *scanner->at != '"')
                return fail_here(scanner);
        if (!scan_string(scanner))
                return false;
        scanner->at = skip_space(scanner->at, scanner->end);
        if (scanner->at == scanner->end || *scanner->at != ':')
                return fail_here(scanner);
        scanner->at++;
        return true;
}

/* Opens one container. Sets *ret_empty when it closes at once; else the scanner stands where a
 * value must begin. */
static bool scan_opening(Scanner *scanner, bool *ret_empty) {
        bool object = *scanner->at == '{';

        if (!push(scanner, object))
                return false;
        scanner->at = skip_space(scanner->at, scanner->end);
        *ret_empty = scanner->at < scanner->end && *scanner->at == (object ? '}' : ']');
        return *ret_empty || !object || scan_key(scanner);
}

/* After a value: closes what closes here. Returns with the scanner where the next value must begin,
 * or with depth 0 when there is none. */
static bool scan_closings(Scanner *scanner) {
        while (scanner->depth > 0) {
                bool object = in_object(scanner);

                scanner->at = skip_space(scanner->at, scanner->end);
                if (scanner->at == scanner->end)
                        return fail_here(scanner);
                if (*scanner->at == ',') {
                        scanner->at++;
                        return !object || scan_key(scanner);
                }
                if (*scanner->at != (object ? '}' : ']'))
                        return fail_here(scanner);
                scanner->at++;
                scanner->depth--;
        }
        return true;
}

static bool scan_value(Scanner *scanner) {
        do {
                scanner->at = skip_space(scanner->at, scanner->end);
                if (scanner->at == scanner->end)
                        return fail_here(scanner);
                if (*scanner->at == '{' || *scanner->at == '[') {
                        bool empty;

                        if (!scan_opening(scanner, &empty))
                                return false;
                        if (!empty)
                                continue;
                } else if (!scan_scalar(scanner)) {
                        return false;
                }
                if (!scan_closings(scanner))
                        return false;
        } while (scanner->depth > 0);
        return true;
}

JsonError json_check(Slice text, unsigned flags) {
        Scanner scanner = {.flags = flags};

        /* Pointers are compared below, so an empty slice must not bring NULL. */
        scanner.start = text.size > 0 ? text.data : (const uint8_t *) "";
        scanner.end = scanner.start + text.size;
        scanner.at = skip_space(scanner.start, scanner.end);
        if (scanner.at == scanner.end)
                return (JsonError){JSON_EMPTY, text.size};
        if (!scan_value(&scanner))
                return scanner.error;

        scanner.at = skip_space(scanner.at, scanner.end);
        if (scanner.at < scanner.end)
                (void) fail(&scanner, JSON_TRAILING, scanner.at);
        return scanner.error;
}

bool json_is(Slice text, JsonKind kind, unsigned flags) {
        return json_check(text, flags).problem == JSON_FINE && json_kind(text) == kind;
}

const char *json_problem_text(JsonProblem problem) {
        switch (problem) {
        case JSON_FINE:
                return "the text is well-formed";
        case JSON_EMPTY:
                return "there is no value";
        case JSON_SYNTAX:
                return "a character cannot stand there";
        case JSON_TRUNCATED:
                return "a value ends in the middle";
        case JSON_TRAILING:
                return "something follows the value";
        case JSON_TOO_DEEP:
                return "values are nested too deeply";
        case JSON_BAD_UTF8:
                return "a string is not valid UTF-8";
        case JSON_BAD_ESCAPE:
                return "a backslash is followed by no known escape";
        case JSON_LONE_SURROGATE:
                return "a surrogate stands without its pair";
        case JSON_CONTROL:
                return "a control character stands in a string without an escape";
        }
        assert(false);
        return "";
}
