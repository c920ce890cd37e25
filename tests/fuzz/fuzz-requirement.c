/* A requirement as a client gives it: any bytes. What passes becomes an argument of pip's. */
#include "pool/requirement.h"

#include <string.h>

#include "fuzz.h"

static void check_name(const char *name) {
        size_t size = strlen(name);

        must(size > 0 && size <= REQUIREMENT_NAME_MAX);
        must(name[0] != '-' && name[size - 1] != '-' && !strstr(name, "--"));
        for (size_t i = 0; i < size; i++)
                must((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                     name[i] == '-');
}

/* Outside of strings in a marker. */
static void check_plain(Slice text) {
        const uint8_t *marker = memchr(text.data, ';', text.size);
        size_t size = marker ? (size_t) (marker - text.data) : text.size;

        for (size_t i = 0; i < size; i++)
                must(text.data[i] != '@' && text.data[i] != '/' && text.data[i] != '\\' &&
                     text.data[i] != ':' && text.data[i] != '#' && text.data[i] != '$');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice text = slice_of(data, size);
        Requirement requirement, again;

        if (requirement_parse(text, &requirement))
                return 0;
        must(requirement.text.size > 0 && requirement.text.size <= REQUIREMENT_SIZE_MAX);
        must(requirement.text.data >= data &&
             requirement.text.data + requirement.text.size <= data + size);
        must(requirement.text.data[0] != '-' && requirement.text.data[0] != '.');
        for (size_t i = 0; i < requirement.text.size; i++)
                must(requirement.text.data[i] < 0x7f &&
                     (requirement.text.data[i] >= ' ' || requirement.text.data[i] == '\t'));
        check_name(requirement.name);
        check_plain(requirement.text);
        must(requirement.exact_version.size == 0 ||
             requirement_is_version(requirement.exact_version));
        must(!requirement.is_bare || requirement.exact_version.size == 0);

        /* What it means does not depend on the white space around it. */
        must(!requirement_parse(requirement.text, &again));
        must(strcmp(again.name, requirement.name) == 0 && again.is_bare == requirement.is_bare);
        return 0;
}
