#pragma once
/*
 * requirement: what may be asked to be installed: a name with extras, versions and markers, as PEP
 * 508 has it, and nothing else that pip would take in its place: no URL ("name @ https://…"), no
 * path, no option, no file of requirements. What passes here cannot be read as one of these.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"

#define REQUIREMENT_SIZE_MAX 512 /* bytes of one */
#define REQUIREMENT_NAME_MAX 128
#define REQUIREMENTS_MAX     64 /* of one installation */
#define VERSION_SIZE_MAX     128

typedef struct Requirement {
        Slice text;                          /* as it was given, without white space around it */
        char name[REQUIREMENT_NAME_MAX + 1]; /* normalised: "ruamel-yaml" for "Ruamel.yaml" */
        Slice exact_version; /* of "name==1.0" and nothing more; empty: it is not so */
        bool is_bare;        /* a name and nothing more */
} Requirement;

/* Returns NULL, and *ret_requirement points into text; or what is wrong with it, as a sentence's
 * end: "is not a name followed by versions". */
const char *requirement_parse(Slice text, Requirement *ret_requirement);

/* PEP 503: lower case, and one "-" for each row of "-", "_", ".". ret_name has REQUIREMENT_NAME_MAX
 * + 1 bytes. Returns false when it is no name of a project. */
bool requirement_normalize(Slice name, char *ret_name);

/* Whether it is made of what versions are made of (PEP 440), 1 to VERSION_SIZE_MAX bytes. */
bool requirement_is_version(Slice text);
