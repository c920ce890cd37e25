/* options_file: the configuration file. inih splits it into sections, names and values; what they
 * mean stands in the table. Everything is collected first, since the templates are applied after
 * the flags. */

#include "server/options_reader.h"

#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>

#define ENTRIES_MAX 1024

typedef struct ConfigEntry {
        char *section, *name, *value;
        unsigned line;
} ConfigEntry;

struct ConfigFile {
        char *path, *directory;
        FILE *stream;
        ConfigEntry *entries;
        size_t n_entries;
        unsigned line; /* the one that inih was given last */
        int error;     /* first failure, already said */
};

ConfigFile *config_file_free(ConfigFile *file) {
        if (!file)
                return NULL;
        for (size_t i = 0; i < file->n_entries; i++) {
                free(file->entries[i].section);
                free(file->entries[i].name);
                free(file->entries[i].value);
        }
        free(file->entries);
        free(file->directory);
        free(file->path);
        if (file->stream)
                (void) fclose(file->stream);
        free(file);
        return NULL;
}

static int complain_at(const ConfigFile *file, unsigned line, const char *problem) {
        char where[PATH_MAX + 16];

        (void) snprintf(where, sizeof(where), "%s:%u", file->path, line);
        return options_complain(where, "%s", problem);
}

/* inih as Debian builds it tells no line numbers; since it handles each line before it asks for the
 * next one, they can be counted here. It would also take the rest of a line that is longer than its
 * buffer for a line of its own. */
static char *read_line(char *line, int size, void *stream) {
        ConfigFile *file = stream;
        char *read = fgets(line, size, file->stream);

        if (!read)
                return NULL;
        file->line++;
        if (strlen(read) == (size_t) size - 1 && read[size - 2] != '\n' && !feof(file->stream)) {
                if (file->error == 0)
                        file->error = complain_at(file, file->line,
                                                  "the line is too long; indent its continuation "
                                                  "on a line of its own");
                return NULL;
        }
        return read;
}

static int take_entry(void *user, const char *section, const char *name, const char *value) {
        ConfigFile *file = user;
        ConfigEntry *entries;

        if (file->error != 0)
                return 1;
        if (file->n_entries == ENTRIES_MAX) {
                file->error = complain_at(file, file->line, "too many entries");
                return 1;
        }
        entries = reallocarray(file->entries, file->n_entries + 1, sizeof(*entries));
        if (!entries)
                abort();
        file->entries = entries;
        entries[file->n_entries++] = (ConfigEntry){
                .section = strdup(section),
                .name = strdup(name),
                .value = strdup(value ? value : ""),
                .line = file->line,
        };
        return 1;
}

int config_file_read(const char *path, ConfigFile **ret_file) {
        _cleanup_(config_file_freep) ConfigFile *file = calloc(1, sizeof(*file));
        const char *slash = strrchr(path, '/');
        int r;

        if (!file)
                abort();
        file->path = strdup(path);
        file->directory = strndup(path, slash ? (size_t) (slash - path) : 0);
        file->stream = fopen(path, "re");
        if (!file->stream)
                return options_complain(path, "cannot be read: %s", strerror(errno));
        r = ini_parse_stream(read_line, file, take_entry, file);
        if (file->error != 0)
                return file->error;
        if (ferror(file->stream))
                return options_complain(path, "cannot be read: %s", strerror(errno));
        if (r > 0)
                return complain_at(file, (unsigned) r,
                                   "neither [SECTION], nor NAME = VALUE, nor a comment (# or ;)");
        if (r < 0)
                abort();
        *ret_file = take_ptr(file);
        return 0;
}

static int complain_about_section(const ConfigFile *file, const ConfigEntry *entry) {
        char problem[128];

        (void) snprintf(problem, sizeof(problem),
                        "unknown section [%s]; allowed: [server], [template.NAME]", entry->section);
        return complain_at(file, entry->line, problem);
}

static bool is_template_section(const ConfigEntry *entry) {
        return strncmp(entry->section, "template.", strlen("template.")) == 0;
}

static const char *template_name(const ConfigEntry *entry) {
        return entry->section + strlen("template.");
}

static bool is_of_default(const ConfigEntry *entry) {
        return is_template_section(entry) && strcmp(template_name(entry), "default") == 0;
}

/* An indented line continues the one before, and inih gives it with the same name: good for a list
 * only. */
static bool is_continuation(const ConfigFile *file, size_t i) {
        return i > 0 && strcmp(file->entries[i - 1].section, file->entries[i].section) == 0 &&
               strcmp(file->entries[i - 1].name, file->entries[i].name) == 0;
}

static bool is_given_before(const ConfigFile *file, size_t i) {
        for (size_t before = 0; before < i; before++) {
                if (strcmp(file->entries[before].section, file->entries[i].section) == 0 &&
                    strcmp(file->entries[before].name, file->entries[i].name) == 0)
                        return true;
        }
        return false;
}

static int apply_entry(const ConfigFile *file, size_t i, OptionsReader *reader, size_t template) {
        const ConfigEntry *entry = &file->entries[i];
        OptionHome home = is_template_section(entry) ? OPTION_OF_TEMPLATE : OPTION_OF_SERVER;
        const OptionInfo *option =
                option_table_find(&reader->table, entry->name, strlen(entry->name));
        char where[PATH_MAX + 16 + OPTION_NAME_MAX];
        OptionSource source = {where, file->directory};

        (void) snprintf(where, sizeof(where), "%s:%u", file->path, entry->line);
        if (!option || strcmp(option->name, "config") == 0) {
                const char *nearest = option_table_nearest(&reader->table, entry->name);

                return options_complain(
                        where, "unknown name '%s'%s%s%s (hatchery --help lists all)", entry->name,
                        nearest ? "; is " : "", nearest ? nearest : "", nearest ? " meant?" : "");
        }
        if (option->home != home)
                return options_complain(where, "'%s' belongs into the section [%s]", entry->name,
                                        home == OPTION_OF_SERVER ? "template.default" : "server");
        (void) snprintf(where, sizeof(where), "%s:%u: %s", file->path, entry->line, option->name);
        if (option->kind == OPTION_MODULES && is_continuation(file, i))
                return option_add_modules(reader, template, entry->value, false, where);
        if (option->kind == OPTION_PATHS && is_continuation(file, i))
                return option_add_paths(reader, template, entry->value, source);
        if (is_given_before(file, i))
                return options_complain(where, "given a second time");
        reader->given[template][option_number(&reader->table, option)] = true;
        return option_assign(reader, option, template, entry->value, source);
}

static bool is_template_name(const char *name) {
        size_t size =
                strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

        return size > 0 && size <= TEMPLATE_NAME_MAX && name[size] == '\0';
}

int config_file_apply_default(const ConfigFile *file, OptionsReader *reader) {
        for (size_t i = 0; i < file->n_entries; i++) {
                const ConfigEntry *entry = &file->entries[i];
                int r = 0;

                if (is_of_default(entry) || entry->section[0] == '\0' ||
                    strcmp(entry->section, "server") == 0)
                        r = apply_entry(file, i, reader, 0);
                else if (!is_template_section(entry))
                        r = complain_about_section(file, entry);
                else if (!is_template_name(template_name(entry)))
                        r = complain_at(
                                file, entry->line,
                                "a template's name is 1 to 64 letters, digits, '_', '-' or '.'");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Finds the template of that name or adds it. Returns its index, or -EINVAL when there are too
 * many. */
static int template_index(const ConfigFile *file, const ConfigEntry *entry, OptionsReader *reader) {
        Options *options = &reader->options;
        const char *name = template_name(entry);
        TemplateConfig *config;

        for (size_t i = 0; i < options->n_templates; i++) {
                if (strcmp(options->templates[i].name, name) == 0)
                        return (int) i;
        }
        if (options->n_templates == TEMPLATES_MAX)
                return complain_at(file, entry->line, "too many templates");
        config = &options->templates[options->n_templates];
        *config = (TemplateConfig){
                .name = options_keep(reader, name, strlen(name)),
                .recycle = RECYCLE_FRESH,
                .limits = options->templates[0].limits,
        };
        return (int) options->n_templates++;
}

int config_file_apply_templates(const ConfigFile *file, OptionsReader *reader) {
        for (size_t i = 0; i < file->n_entries; i++) {
                const ConfigEntry *entry = &file->entries[i];
                int template, r;

                if (!is_template_section(entry) || is_of_default(entry))
                        continue;
                template = template_index(file, entry, reader);
                if (template <0)
                        return template;
                r = apply_entry(file, i, reader, (size_t) template);
                if (r < 0)
                        return r;
        }
        return 0;
}
