/* options_isolation: names of modes and layers, and what runs are shown of the host. */

#include "server/options_reader.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* As many as hatchery-python takes (interp/view.h). */
#define READ_ONLY_PATHS_MAX 32

int option_parse_isolation(const char *text, const char *where, IsolationMode *ret_mode) {
        static const char *const names[_ISOLATION_MODES] = {
                [ISOLATION_STRICT] = "strict",
                [ISOLATION_BEST_EFFORT] = "best-effort",
                [ISOLATION_OFF] = "unsafe-off",
        };

        for (unsigned mode = 0; mode < _ISOLATION_MODES; mode++) {
                if (strcmp(text, names[mode]) == 0) {
                        *ret_mode = (IsolationMode) mode;
                        return 0;
                }
        }
        return options_complain(where, "'%s' is no mode; allowed: strict, best-effort, unsafe-off",
                                text);
}

static int complain_about_layer(const char *where, const char *name, size_t size) {
        char names[_LAYERS * 20];
        size_t used = 0;

        for (unsigned layer = 0; layer < _LAYERS; layer++)
                used += (size_t) snprintf(names + used, sizeof(names) - used, "%s%s",
                                          layer > 0 ? ", " : "", layer_about((Layer) layer)->name);
        return options_complain(where, "'%.*s' is no layer; there are: %s", (int) size, name,
                                names);
}

int option_parse_layers(const char *text, const char *where, LayerMask *ret_layers) {
        static const char separators[] = ", \t\r\n";

        *ret_layers = 0;
        for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
                size_t size = strcspn(text, separators);
                Layer layer = layer_by_name(text, size);

                if (layer == _LAYERS)
                        return complain_about_layer(where, text, size);
                *ret_layers |= layer_bit(layer);
                text += size;
        }
        return 0;
}

int option_add_paths(OptionsReader *reader, size_t template, const char *text,
                     OptionSource source) {
        static const char spaces[] = " \t\r\n", ends[] = ",\r\n";

        for (text += strspn(text, ", \t\r\n"); *text != '\0'; text += strspn(text, ", \t\r\n")) {
                size_t size = strcspn(text, ends), n = reader->n_paths[template];
                const char *rest = text + size, *path;
                const char **paths;
                int r;

                while (size > 0 && strchr(spaces, text[size - 1]))
                        size--;
                if (n == READ_ONLY_PATHS_MAX)
                        return options_complain(source.name, "too many paths; allowed: %d",
                                                READ_ONLY_PATHS_MAX);
                r = option_keep_path(reader, options_keep(reader, text, size), source, &path);
                if (r < 0)
                        return r;
                paths = reallocarray(reader->paths[template], n + 1, sizeof(*paths));
                if (!paths)
                        abort();
                paths[n] = path;
                reader->paths[template] = paths;
                reader->n_paths[template] = n + 1;
                text = rest;
        }
        return 0;
}

/* ── What runs are shown ── */

/* Whether path is folder or lies below it. */
static bool is_within(const char *path, const char *folder) {
        size_t size = strlen(folder);

        while (size > 1 && folder[size - 1] == '/')
                size--;
        return strncmp(path, folder, size) == 0 &&
               (size == 1 || path[size] == '/' || path[size] == '\0');
}

/* Says what is wrong with showing path because of a place of the server's own, either of which may
 * lie in the other. kept is what the place is for. */
static int check_apart(const char *where, const char *path, const char *place, const char *kept) {
        char real[PATH_MAX];

        if (!place)
                return 0;
        if (!realpath(place, real))
                (void) snprintf(real, sizeof(real), "%s", place);
        if (is_within(real, path))
                return options_complain(where, "%s would show %s, %s, to runs", path, place, kept);
        if (is_within(path, real))
                return options_complain(where, "%s lies in %s, %s", path, place, kept);
        return 0;
}

/* Runs have folders of their own there, or nothing at all, for good reasons. */
static int check_place(const char *where, const char *path) {
        static const char *const taken[] = {"/proc", "/sys", "/dev", "/work", "/packages", "/tmp"};

        if (strcmp(path, "/") == 0)
                return options_complain(where, "/ would show the whole system to runs; name what "
                                               "they need");
        if (strcmp(path, "/etc") == 0)
                return options_complain(where, "/etc: runs have one of their own; name what they "
                                               "need of it");
        for (size_t i = 0; i < N_ELEMENTS(taken); i++) {
                if (is_within(path, taken[i]))
                        return options_complain(
                                where,
                                "%s lies in %s, of which runs have none, or one of their own", path,
                                taken[i]);
        }
        return 0;
}

static int check_view(const Options *options, const char *where, const char *path,
                      bool must_be_folder) {
        const struct {
                const char *place, *kept;
        } own[] = {
                {options->work_directory, "the work directory"},
                {options->state_directory, "the state directory"},
                {options->config, "the configuration file"},
                {options->tls_key, "the TLS key"},
        };
        char real[PATH_MAX];
        struct stat status;
        int r;

        if (!realpath(path, real) || stat(real, &status) < 0)
                return options_complain(where, "%s: %s", path, strerror(errno));
        /* Runs see it at the same place, where there is no link to lead to it. */
        if (strcmp(path, real) != 0)
                return options_complain(where, "%s leads to %s; name that", path, real);
        if (must_be_folder && !S_ISDIR(status.st_mode))
                return options_complain(where, "%s is not a folder", path);
        if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
                return options_complain(where, "%s is neither a folder nor a file", path);
        r = check_place(where, path);
        for (size_t i = 0; i < N_ELEMENTS(own) && r == 0; i++)
                r = check_apart(where, path, own[i].place, own[i].kept);
        return r;
}

int options_check_views(const Options *options) {
        for (size_t i = 0; i < options->n_templates; i++) {
                const TemplateConfig *template = &options->templates[i];
                char where[TEMPLATE_NAME_MAX + 40];
                int r = 0;

                (void) snprintf(where, sizeof(where), "read-only-paths: template %s",
                                template->name);
                for (size_t path = 0; path < template->n_read_only_paths && r == 0; path++)
                        r = check_view(options, where, template->read_only_paths[path], false);
                (void) snprintf(where, sizeof(where), "data-path: template %s", template->name);
                if (r == 0 && template->data_path)
                        r = check_view(options, where, template->data_path, true);
                if (r < 0)
                        return r;
        }
        return 0;
}
