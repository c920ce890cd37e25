#pragma once
/*
 * packages: which distributions there are: in the packages folder of a session, read through its
 * descriptor from what wheels have brought, and in a template, as its zygote has told. Names and
 * versions are checked, since whoever made a wheel has chosen them.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"
#include "kit/cleanup.h"
#include "pool/requirement.h"

#define PACKAGES_MAX 4096 /* of one list */

typedef struct Package {
        char name[REQUIREMENT_NAME_MAX + 1]; /* as it calls itself: "Ruamel.yaml" */
        char version[VERSION_SIZE_MAX + 1];
} Package;

typedef struct PackageList {
        Package *of; /* in the order of their normalised names */
        size_t n, capacity;
} PackageList;

void package_list_done(PackageList *list);

/* Of a packages folder (session_packages_fd()); its position does not matter. At most a few
 * milliseconds. 0, -ENOMEM or another -errno. */
_must_check_ int package_list_read(int packages_fd, PackageList *ret_list);

/* Of a template: TemplateState.about. */
_must_check_ int package_list_of_template(const char *about, PackageList *ret_list);

/* By its normalised name, or NULL. */
const Package *package_list_find(const PackageList *list, const char *name);
