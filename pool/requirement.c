#include "pool/requirement.h"

#include <string.h>
#include <strings.h>

/* pip reads markers by recursion, and gives up somewhere below a hundred. */
#define DEPTH_MAX 16

static bool is_letter_or_digit(uint8_t c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_separator(uint8_t c) {
        return c == '-' || c == '_' || c == '.';
}

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t';
}

/* What PEP 440 allows in a version, and pip in an old one: epoch, local part, "*" at the end. */
static bool is_in_version(uint8_t c) {
        return is_letter_or_digit(c) || is_separator(c) || c == '+' || c == '!' || c == '*';
}

bool requirement_is_version(Slice text) {
        if (text.size == 0 || text.size > VERSION_SIZE_MAX || !is_letter_or_digit(text.data[0]))
                return false;
        for (size_t i = 0; i < text.size; i++) {
                if (!is_in_version(text.data[i]) || text.data[i] == '*')
                        return false;
        }
        return true;
}

bool requirement_normalize(Slice name, char *ret_name) {
        size_t used = 0;

        if (name.size == 0 || name.size > REQUIREMENT_NAME_MAX ||
            !is_letter_or_digit(name.data[0]) || !is_letter_or_digit(name.data[name.size - 1]))
                return false;
        for (size_t i = 0; i < name.size; i++) {
                uint8_t c = name.data[i];

                if (is_letter_or_digit(c))
                        ret_name[used++] = (char) (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
                else if (!is_separator(c))
                        return false;
                else if (ret_name[used - 1] != '-')
                        ret_name[used++] = '-';
        }
        ret_name[used] = 0;
        return true;
}

/* --- reading from left to right --- */

typedef struct Reading {
        const uint8_t *at, *end;
} Reading;

static void skip_space(Reading *reading) {
        while (reading->at < reading->end && is_space(*reading->at))
                reading->at++;
}

static bool is_at(const Reading *reading, char c) {
        return reading->at < reading->end && *reading->at == (uint8_t) c;
}

static bool take(Reading *reading, char c) {
        if (!is_at(reading, c))
                return false;
        reading->at++;
        return true;
}

/* A name of a project or of an extra; it ends before what cannot be part of it. */
static Slice take_name(Reading *reading) {
        const uint8_t *start = reading->at;

        while (reading->at < reading->end &&
               (is_letter_or_digit(*reading->at) || is_separator(*reading->at)))
                reading->at++;
        return slice_of(start, (size_t) (reading->at - start));
}

static const char *take_extras(Reading *reading) {
        char name[REQUIREMENT_NAME_MAX + 1];

        if (!take(reading, '['))
                return NULL;
        skip_space(reading);
        while (!take(reading, ']')) {
                if (!requirement_normalize(take_name(reading), name))
                        return "has extras that are no names";
                skip_space(reading);
                if (take(reading, ','))
                        skip_space(reading);
                else if (!is_at(reading, ']'))
                        return "has extras that do not end in \"]\"";
        }
        return NULL;
}

/* The longer of two that begin alike stands first. */
static const char *take_operator(Reading *reading) {
        static const char *const operators[] = {"===", "==", "~=", "!=", "<=", ">=", "<", ">"};

        for (size_t i = 0; i < N_ELEMENTS(operators); i++) {
                size_t size = strlen(operators[i]);

                if ((size_t) (reading->end - reading->at) < size ||
                    memcmp(reading->at, operators[i], size) != 0)
                        continue;
                reading->at += size;
                return operators[i];
        }
        return NULL;
}

static Slice take_version(Reading *reading) {
        const uint8_t *start = reading->at;

        while (reading->at < reading->end && is_in_version(*reading->at))
                reading->at++;
        return slice_of(start, (size_t) (reading->at - start));
}

static bool ends_versions(const Reading *reading, bool in_parentheses) {
        return reading->at == reading->end || is_at(reading, ';') ||
               (in_parentheses && is_at(reading, ')'));
}

/* ">=1.0, !=1.3.*", in parentheses or not. ret_exact: of a single "==1.0". */
static const char *take_versions(Reading *reading, Slice *ret_exact) {
        bool in_parentheses = take(reading, '(');
        size_t n = 0;

        skip_space(reading);
        for (; !ends_versions(reading, in_parentheses); n++) {
                const char *comparison = take_operator(reading);
                Slice version;

                if (!comparison)
                        return n == 0 ? "has something behind its name that is no version"
                                      : "has something behind a version that is none";
                skip_space(reading);
                version = take_version(reading);
                if (version.size == 0 || version.size > VERSION_SIZE_MAX ||
                    !is_letter_or_digit(version.data[0]))
                        return "has a comparison without a version";
                *ret_exact =
                        n == 0 && strcmp(comparison, "==") == 0 && requirement_is_version(version)
                                ? version
                                : SLICE_NULL;
                skip_space(reading);
                if (take(reading, ','))
                        skip_space(reading);
                else if (!ends_versions(reading, in_parentheses))
                        return "has something behind a version that is none";
        }
        if (in_parentheses && !take(reading, ')'))
                return "has a parenthesis that is not closed";
        if (in_parentheses && n == 0)
                return "has nothing in its parentheses";
        return NULL;
}

/*
 * What stands behind ";". Its grammar is for pip; here it is made of words, strings, comparisons
 * and parentheses, so that nothing else can hide in it. A "#" or a backslash would mean something
 * in a file of requirements, which these never become.
 */
static const char *take_markers(Reading *reading) {
        unsigned depth = 0;
        char quote = 0;
        size_t n = 0;

        for (; reading->at < reading->end; reading->at++) {
                char c = (char) *reading->at;

                n += !is_space(*reading->at);
                if (quote) {
                        quote = c == quote ? 0 : quote;
                        continue;
                }
                if (c == '"' || c == '\'')
                        quote = c;
                else if (c == '(' && depth++ == DEPTH_MAX)
                        return "has a marker with more than 16 parentheses in each other";
                else if (c == ')' && depth-- == 0)
                        return "has a marker with a \")\" too many";
                else if (!is_letter_or_digit(*reading->at) && !is_space(*reading->at) &&
                         !strchr("()._<>=!~", c))
                        return "has a marker with a character that markers do not have";
        }
        if (quote || depth > 0)
                return "has a marker that ends too early";
        return n == 0 ? "has nothing behind its \";\"" : NULL;
}

static const char *check_bytes(Slice text) {
        if (text.size == 0)
                return "is empty";
        if (text.size > REQUIREMENT_SIZE_MAX)
                return "is longer than 512 bytes";
        for (size_t i = 0; i < text.size; i++) {
                if (text.data[i] >= 0x7f || (text.data[i] < ' ' && text.data[i] != '\t'))
                        return "has a character that is no printable ASCII";
        }
        return NULL;
}

static Slice trim(Slice text) {
        while (text.size > 0 && is_space(text.data[0]))
                text = slice_of(text.data + 1, text.size - 1);
        while (text.size > 0 && is_space(text.data[text.size - 1]))
                text.size--;
        return text;
}

static const char *read_name(Reading *reading, char *ret_name) {
        Slice name = take_name(reading);

        if (name.size > REQUIREMENT_NAME_MAX)
                return "has a name longer than 128 bytes";
        if (reading->at < reading->end && strchr("/\\:", (char) *reading->at))
                return "is a path or an address; packages are named, and come from the index";
        if (name.size > 0 && name.data[0] == '-')
                return "is an option, not a package";
        if (!requirement_normalize(name, ret_name))
                return "does not begin with the name of a package";
        skip_space(reading);
        if (is_at(reading, '@'))
                return "names an address; packages come from the index";
        return NULL;
}

/* pip takes what ends like this for a file, wherever it ends before a marker and extras. */
static bool looks_like_file(Slice text) {
        static const char *const endings[] = {".whl",     ".zip",    ".tar",    ".tgz",
                                              ".tbz",     ".txz",    ".tlz",    ".tar.gz",
                                              ".tar.bz2", ".tar.xz", ".tar.lz", ".tar.lzma"};
        const uint8_t *end = memchr(text.data, ';', text.size);

        if (end)
                text.size = (size_t) (end - text.data);
        end = memchr(text.data, '[', text.size);
        if (end && memchr(end, ']', text.size - (size_t) (end - text.data)) ==
                           trim(text).data + trim(text).size - 1)
                text.size = (size_t) (end - text.data);
        text = trim(text);
        for (size_t i = 0; i < N_ELEMENTS(endings); i++) {
                size_t size = strlen(endings[i]);

                if (text.size >= size &&
                    strncasecmp((const char *) text.data + text.size - size, endings[i], size) == 0)
                        return true;
        }
        return false;
}

const char *requirement_parse(Slice text, Requirement *ret_requirement) {
        Requirement requirement = {.text = trim(text)};
        Reading reading = {requirement.text.data, requirement.text.data + requirement.text.size};
        const char *problem = check_bytes(requirement.text);
        const uint8_t *after_name;

        if (!problem)
                problem = read_name(&reading, requirement.name);
        if (!problem && looks_like_file(requirement.text))
                problem = "is a file; packages are named, and come from the index";
        after_name = reading.at;
        if (!problem)
                problem = take_extras(&reading);
        if (!problem) {
                bool has_extras = reading.at != after_name;

                skip_space(&reading);
                problem = take_versions(&reading, &requirement.exact_version);
                skip_space(&reading);
                if (has_extras || reading.at < reading.end)
                        requirement.exact_version = SLICE_NULL;
        }
        if (problem)
                return problem;
        requirement.is_bare = after_name == reading.end;
        if (take(&reading, ';'))
                problem = take_markers(&reading);
        else if (reading.at < reading.end)
                problem = "has something behind a version that is none";
        *ret_requirement = requirement;
        return problem;
}
