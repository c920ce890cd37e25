#include "interp/view.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Programs and libraries. Where /usr is merged, all but the first are links to it. */
static const char *const programs[] = {
        "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
};

/*
 * Settings that honest programs read, and that say nothing of this host. Not here, on purpose:
 * ssl/certs, which holds the operator's own authorities and a certificate with the host's name,
 * and is of no use without a network; machine-id; anything of users and names, which a cell has in
 * a version of its own.
 */
static const char *const settings[] = {
        "/etc/alternatives",
        "/etc/crypto-policies",
        "/etc/debian_version",
        "/etc/fonts",
        "/etc/ld.so.cache",
        "/etc/locale.alias",
        "/etc/localtime",
        "/etc/magic",
        "/etc/matplotlibrc",
        "/etc/mime.types",
        "/etc/os-release",
        "/etc/protocols",
        "/etc/services",
        "/etc/terminfo",
        "/etc/timezone",
        "/etc/python3",
        "/etc/ssl/openssl.cnf",
        /* Without it, the first figure looks through every font. */
        "/var/cache/fontconfig",
};

static const char *const devices[] = {
        "/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero",
};

/* Places of the cell's own. */
static const char *const own_places[] = {"/work", "/packages", "/tmp", "/dev/shm"};

typedef struct ViewList {
        ViewPath *paths;
        size_t n, max;
} ViewList;

static bool is_below(const char *path, const char *directory) {
        size_t length = strlen(directory);

        return strncmp(path, directory, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static void add(ViewList *list, const char *path, ViewKind kind, ViewAccess access) {
        if (list->n < list->max)
                list->paths[list->n++] = (ViewPath){path, kind, access};
}

/* A link stays one where a worker can follow it, since some programs look at the link itself
 * (/etc/localtime names the time zone); else what it leads to is shown in its place. */
static bool is_link_into_view(const char *path, const struct stat *status) {
        char target[PATH_MAX];

        return S_ISLNK(status->st_mode) && realpath(path, target) && is_below(target, "/usr");
}

static void add_of_system(ViewList *list, const char *path) {
        struct stat link, target;

        if (lstat(path, &link) < 0 || stat(path, &target) < 0)
                return;
        if (is_link_into_view(path, &link))
                add(list, path, VIEW_SYMLINK, VIEW_READ);
        else if (S_ISDIR(target.st_mode))
                add(list, path, VIEW_DIRECTORY, VIEW_READ);
        else if (S_ISREG(target.st_mode))
                add(list, path, VIEW_FILE, VIEW_READ);
}

/* /etc/python3.11 and the like: Debian keeps each version's sitecustomize.py there. */
static void add_python_settings(ViewList *list) {
        static glob_t found; /* the names live as long as the process */

        if (!found.gl_pathv && glob("/etc/python3.*", 0, NULL, &found) != 0)
                return;
        for (size_t i = 0; i < found.gl_pathc; i++)
                add_of_system(list, found.gl_pathv[i]);
}

/* A Python that was not installed by the system brings its library along. PYTHON_PROGRAM is the
 * path of the program, which is PREFIX/bin/NAME. */
static void add_python(ViewList *list) {
        static char prefix[] = PYTHON_PROGRAM;

        for (int levels = 0; levels < 2; levels++) {
                char *slash = strrchr(prefix, '/');

                if (slash)
                        *slash = 0;
        }
        if (prefix[0] && !is_below(prefix, "/usr"))
                add_of_system(list, prefix);
}

static void add_device(ViewList *list, const char *path) {
        struct stat status;

        if (stat(path, &status) == 0 && S_ISCHR(status.st_mode))
                add(list, path, VIEW_DEVICE, VIEW_WRITE);
}

static void add_of_operator(ViewList *list, const char *path, ViewAccess access) {
        struct stat status;

        if (stat(path, &status) == 0)
                add(list, path, S_ISDIR(status.st_mode) ? VIEW_DIRECTORY : VIEW_FILE, access);
}

static int by_path(const void *a, const void *b) {
        return strcmp(((const ViewPath *) a)->path, ((const ViewPath *) b)->path);
}

size_t view_paths(const ViewOptions *options, ViewPath *paths, size_t max) {
        ViewList list = {.paths = paths, .max = max};

        for (size_t i = 0; i < N_ELEMENTS(programs); i++)
                add_of_system(&list, programs[i]);
        for (size_t i = 0; i < N_ELEMENTS(settings); i++)
                add_of_system(&list, settings[i]);
        add_python_settings(&list);
        add_python(&list);
        for (size_t i = 0; i < N_ELEMENTS(devices); i++)
                add_device(&list, devices[i]);
        for (size_t i = 0; i < options->n_views; i++)
                add_of_operator(&list, options->views[i], VIEW_READ);
        for (size_t i = 0; i < options->n_data; i++)
                add_of_operator(&list, options->data[i], VIEW_WRITE);
        qsort(paths, list.n, sizeof(paths[0]), by_path);
        return list.n;
}

/* Whether a path is absolute, not / itself, and without empty, "." and ".." components; a slash at
 * the end is allowed. */
static bool is_plain(const char *path) {
        if (path[0] != '/' || path[1] == 0)
                return false;
        while (*path == '/' && path[1]) {
                size_t length = strcspn(++path, "/");

                if (length == 0 || strncmp(path, ".", length) == 0 ||
                    (length == 2 && strncmp(path, "..", 2) == 0))
                        return false;
                path += length;
        }
        return true;
}

static int check_path(const char *path, char *ret_why, size_t size) {
        struct stat status;

        if (!is_plain(path)) {
                (void) snprintf(ret_why, size, "%s is not a plain absolute path", path);
                return -EINVAL;
        }
        for (size_t i = 0; i < N_ELEMENTS(own_places); i++) {
                if (is_below(path, own_places[i]) || is_below(own_places[i], path)) {
                        (void) snprintf(ret_why, size,
                                        "%s cannot be shown: a worker has its own %s", path,
                                        own_places[i]);
                        return -EINVAL;
                }
        }
        if (stat(path, &status) < 0) {
                int error = errno;

                (void) snprintf(ret_why, size, "%s cannot be shown: %s", path, strerror(error));
                return -error;
        }
        return 0;
}

int view_check(const ViewOptions *options, char *ret_why, size_t size) {
        for (size_t i = 0; i < options->n_views + options->n_data; i++) {
                const char *path = i < options->n_views ? options->views[i]
                                                        : options->data[i - options->n_views];
                int r = check_path(path, ret_why, size);

                if (r < 0)
                        return r;
        }
        return 0;
}

bool view_add(ViewOptions *options, ViewAccess access, const char *path) {
        size_t *n = access == VIEW_READ ? &options->n_views : &options->n_data;
        const char **paths = access == VIEW_READ ? options->views : options->data;

        if (*n == VIEW_OPTIONS_MAX)
                return false;
        paths[(*n)++] = path;
        return true;
}
