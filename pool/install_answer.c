/* What the caller of an installation gets. */

#include <errno.h>
#include <string.h>

#include "kit/error.h"
#include "pool/install_internal.h"

/* The template comes first when modules are looked for. */
static const Package *find(const Install *install, const char *name) {
        const Package *package = package_list_find(&install->in_template, name);

        return package ? package : package_list_find(&install->in_session, name);
}

const Package *install_has(const Install *install, const Requirement *requirement) {
        const Package *package = find(install, requirement->name);

        if (!package || requirement->is_bare)
                return package;
        return slice_equals(requirement->exact_version, package->version) ? package : NULL;
}

static bool is_wheel(const Install *install, const char *name) {
        char normalized[REQUIREMENT_NAME_MAX + 1];

        for (size_t i = 0; i < install->n_wheels; i++) {
                if (requirement_normalize(slice_of_text(install->wheels[i].about.name),
                                          normalized) &&
                    strcmp(normalized, name) == 0)
                        return true;
        }
        return false;
}

static bool is_asked_before(const Install *install, size_t index) {
        for (size_t i = 0; i < index; i++) {
                if (strcmp(install->requirements[i].name, install->requirements[index].name) == 0)
                        return true;
        }
        return false;
}

/* Those asked for that were there, in the order in which they were asked for; then the wheels. */
static size_t list(const Install *install, InstalledPackage *packages) {
        size_t n = 0;

        for (size_t i = 0; i < install->n_requirements; i++) {
                const char *name = install->requirements[i].name;
                const Package *package = find(install, name);

                if (package && !is_wheel(install, name) && !is_asked_before(install, i))
                        packages[n++] = (InstalledPackage){package->name, package->version,
                                                           .already = true};
        }
        for (size_t i = 0; i < install->n_wheels; i++) {
                const InstallWheel *wheel = &install->wheels[i];

                packages[n++] = (InstalledPackage){wheel->about.name, wheel->about.version,
                                                   .from_cache = wheel->was_cached};
        }
        return n;
}

void install_answer(Install *install) {
        size_t most = install->n_requirements + install->n_wheels;
        _autofree_ InstalledPackage *packages = calloc(most, sizeof(*packages));
        InstallResult result = {.log = buffer_slice(&install->log)};

        if (!packages)
                install_fail(install, INSTALL_UNAVAILABLE, "The server has no memory for this.");
        result.outcome = install->outcome;
        result.why = install->outcome == INSTALL_DONE ? NULL : install->why;
        if (install->outcome == INSTALL_DONE) {
                result.n_packages = list(install, packages);
                result.packages = packages;
        }
        install->callback.done(install->callback.data, &result);
}
