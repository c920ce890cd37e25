/* options_value: from the text of an option to its value. */

#include "server/options_reader.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "kit/log.h"

struct KeptText {
        KeptText *next;
        char text[];
};

int options_complain(const char *where, const char *format, ...) {
        char message[1024];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        (void) fprintf(stderr, "hatchery: %s: %s\n", where, message);
        return -EINVAL;
}

char *options_keep(OptionsReader *reader, const char *text, size_t size) {
        KeptText *kept = malloc(sizeof(*kept) + size + 1);

        /* A few hundred bytes before anything is served: there is nothing to fall back to. */
        if (!kept)
                abort();
        memcpy(kept->text, text, size);
        kept->text[size] = '\0';
        kept->next = reader->kept;
        reader->kept = kept;
        return kept->text;
}

Options *options_free(Options *options) {
        OptionsReader *reader = (OptionsReader *) options;

        if (!reader)
                return NULL;
        while (reader->kept) {
                KeptText *kept = reader->kept;

                reader->kept = kept->next;
                free(kept);
        }
        for (size_t i = 0; i < TEMPLATES_MAX; i++) {
                free(reader->modules[i]);
                free(reader->paths[i]);
        }
        free(reader);
        return NULL;
}

static int parse_number(const OptionInfo *option, const char *text, const char *where,
                        uint64_t *ret_number) {
        uint64_t number = 0;

        for (const char *digit = text; *digit != '\0' || digit == text; digit++) {
                if (*digit < '0' || *digit > '9')
                        return options_complain(where,
                                                "'%s' is not a whole number; allowed: %llu to %llu",
                                                text, (unsigned long long) option->minimum,
                                                (unsigned long long) option->maximum);
                if (__builtin_mul_overflow(number, 10U, &number) ||
                    __builtin_add_overflow(number, (uint64_t) (*digit - '0'), &number))
                        number = UINT64_MAX;
        }
        if (number < option->minimum || number > option->maximum)
                return options_complain(where, "%s is out of range; allowed: %llu to %llu", text,
                                        (unsigned long long) option->minimum,
                                        (unsigned long long) option->maximum);
        *ret_number = number;
        return 0;
}

static int assign_number(const OptionInfo *option, const char *text, const char *where,
                         void *value) {
        uint64_t number = 0;
        int r = parse_number(option, text, where, &number);

        if (r < 0)
                return r;
        if (option->kind == OPTION_UINT64)
                *(uint64_t *) value = number;
        else if (option->kind == OPTION_UINT32)
                *(uint32_t *) value = (uint32_t) number;
        else
                *(unsigned *) value = (unsigned) number;
        return 0;
}

static int parse_switch(const char *text, const char *where, bool *ret_value) {
        static const char *const yes[] = {"yes", "true", "on", "1"};
        static const char *const no[] = {"no", "false", "off", "0"};

        for (size_t i = 0; i < N_ELEMENTS(yes); i++) {
                if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
                        *ret_value = strcmp(text, yes[i]) == 0;
                        return 0;
                }
        }
        return options_complain(where, "'%s' is neither yes nor no", text);
}

int option_keep_path(OptionsReader *reader, const char *text, OptionSource source,
                     const char **ret_path) {
        char absolute[PATH_MAX];
        char current[PATH_MAX];
        const char *directory = source.directory;

        if (text[0] == '\0')
                return options_complain(source.name, "the path is empty");
        if (text[0] == '/') {
                *ret_path = options_keep(reader, text, strlen(text));
                return 0;
        }
        if (!directory)
                directory = getcwd(current, sizeof(current));
        if (!directory || snprintf(absolute, sizeof(absolute), "%s/%s", directory, text) >=
                                  (int) sizeof(absolute))
                return options_complain(source.name, "'%s' cannot be made an absolute path", text);
        *ret_path = options_keep(reader, absolute, strlen(absolute));
        return 0;
}

static int parse_recycle(const char *text, const char *where, Recycle *ret_recycle) {
        *ret_recycle = recycle_by_name(text);
        if (*ret_recycle == _RECYCLES)
                return options_complain(where, "'%s' is no policy; allowed: fresh, reset", text);
        return 0;
}

/* What a package installs, where that is not its own name. */
static const struct {
        const char *package, *module;
} package_modules[] = {
        {"beautifulsoup4", "bs4"},
        {"opencv-python", "cv2"},
        {"pillow", "PIL"},
        {"Pillow", "PIL"},
        {"protobuf", "google.protobuf"},
        {"python-dateutil", "dateutil"},
        {"PyYAML", "yaml"},
        {"pyyaml", "yaml"},
        {"scikit-image", "skimage"},
        {"scikit-learn", "sklearn"},
};

/* The module that a package gives; a version behind the name ("pandas==1.5") does not matter here.
 */
static char *module_of_package(OptionsReader *reader, const char *package, size_t size) {
        size_t name_size = 0;
        char *module;

        while (name_size < size && !strchr("<>=!~;[", package[name_size]))
                name_size++;
        for (size_t i = 0; i < N_ELEMENTS(package_modules); i++) {
                if (slice_equals(slice_of(package, name_size), package_modules[i].package))
                        return options_keep(reader, package_modules[i].module,
                                            strlen(package_modules[i].module));
        }
        module = options_keep(reader, package, name_size);
        for (char *character = module; *character != '\0'; character++) {
                if (*character == '-')
                        *character = '_';
        }
        return module;
}

/* Identifiers with points between them. */
static bool is_module_name(const char *name) {
        bool at_start = true;

        for (; *name != '\0'; name++) {
                bool is_letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                                 *name == '_';

                if (*name == '.' ? at_start
                                 : !is_letter && (at_start || *name < '0' || *name > '9'))
                        return false;
                at_start = *name == '.';
        }
        return !at_start;
}

static void add_module(OptionsReader *reader, size_t template, const char *module) {
        size_t n = reader->n_modules[template];
        const char **modules;

        for (size_t i = 0; i < n; i++) {
                if (strcmp(reader->modules[template][i], module) == 0)
                        return;
        }
        modules = reallocarray(reader->modules[template], n + 1, sizeof(*modules));
        if (!modules)
                abort();
        modules[n] = module;
        reader->modules[template] = modules;
        reader->n_modules[template] = n + 1;
}

int option_add_modules(OptionsReader *reader, size_t template, const char *text, bool are_packages,
                       const char *where) {
        static const char separators[] = ", \t\r\n";

        for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
                size_t size = strcspn(text, separators);
                char *module = are_packages ? module_of_package(reader, text, size)
                                            : options_keep(reader, text, size);

                if (!is_module_name(module))
                        return options_complain(where, "'%.*s' is not the name of a %s", (int) size,
                                                text, are_packages ? "package" : "module");
                add_module(reader, template, module);
                text += size;
        }
        return 0;
}

static int assign_modules(OptionsReader *reader, size_t template, const char *text,
                          const char *where) {
        reader->n_modules[template] = 0;
        return option_add_modules(reader, template, text, false, where);
}

int option_assign(OptionsReader *reader, const OptionInfo *option, size_t template,
                  const char *text, OptionSource source) {
        char *home = option->home == OPTION_OF_SERVER
                             ? (char *) &reader->options
                             : (char *) &reader->options.templates[template];
        void *value = home + option->offset;
        LogLevel level;
        int r = 0;

        switch (option->kind) {
        case OPTION_TEXT:
                *(const char **) value = options_keep(reader, text, strlen(text));
                break;
        case OPTION_LOG_LEVEL:
                if (log_level_parse(text, &level) < 0)
                        return options_complain(
                                source.name,
                                "'%s' is no level; allowed: error, warning, info, debug", text);
                *(const char **) value = options_keep(reader, text, strlen(text));
                break;
        case OPTION_PATH:
                r = option_keep_path(reader, text, source, value);
                break;
        case OPTION_SWITCH:
                r = parse_switch(text, source.name, value);
                break;
        case OPTION_RECYCLE:
                r = parse_recycle(text, source.name, value);
                break;
        case OPTION_MODULES:
                r = assign_modules(reader, template, text, source.name);
                break;
        case OPTION_ISOLATION:
                r = option_parse_isolation(text, source.name, value);
                break;
        case OPTION_LAYERS:
                r = option_parse_layers(text, source.name, value);
                break;
        case OPTION_PATHS:
                reader->n_paths[template] = 0;
                r = option_add_paths(reader, template, text, source);
                break;
        case OPTION_UNSIGNED:
        case OPTION_UINT32:
        case OPTION_UINT64:
                r = assign_number(option, text, source.name, value);
                break;
        }
        return r;
}
