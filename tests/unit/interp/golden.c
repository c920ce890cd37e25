#include "golden.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN_BYTES 65536

char *golden_read(void) {
        const char *path = getenv(GOLDEN_PATH_VARIABLE);
        char *text = calloc(1, GOLDEN_BYTES);
        FILE *file = path ? fopen(path, "re") : NULL;

        assert_non_null(file);
        assert_non_null(text);
        assert_in_range(fread(text, 1, GOLDEN_BYTES, file), 1, GOLDEN_BYTES - 1);
        (void) fclose(file);
        return text;
}

static int answer_of(const char *word, size_t length) {
        if (length == 5 && memcmp(word, "allow", 5) == 0)
                return ANSWER_ALLOW;
        if (length == 4 && memcmp(word, "kill", 4) == 0)
                return ANSWER_KILL;
        for (int code = 1; code < 200; code++) {
                const char *name = strerrorname_np(code);

                if (name && strlen(name) == length && memcmp(word, name, length) == 0)
                        return code;
        }
        fail_msg("the list says %.*s", (int) length, word);
        return 0;
}

Golden golden_find(const char *text, const char *name, Profile profile) {
        size_t length = strlen(name);

        for (const char *line = text; line && *line; line = strchr(line, '\n')) {
                const char *decision, *end, *other;
                char marker[64];

                line += *line == '\n';
                if (strncmp(line, name, length) != 0 || line[length] != ':')
                        continue;
                end = line + strcspn(line, "\n");
                decision = line + length + 2;
                /* A profile that is not named decides as the first one does. */
                (void) snprintf(marker, sizeof(marker), " | %s: ", policy_profile_name(profile));
                other = memmem(decision, (size_t) (end - decision), marker, strlen(marker));
                if (other)
                        decision = other + strlen(marker);
                other = memmem(decision, (size_t) (end - decision), " | ", 3);
                if (other)
                        end = other;
                return (Golden){
                        .is_listed = true,
                        .answer = answer_of(decision, strcspn(decision, " \n")),
                        .is_checked =
                                memmem(decision, (size_t) (end - decision), " if ", 4) != NULL,
                };
        }
        return (Golden){0};
}
