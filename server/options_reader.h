#pragma once
/* options_reader: what options*.c share while the options are being read. */

#include "kit/cleanup.h"
#include "server/options_table.h"

typedef struct KeptText KeptText;

typedef struct OptionsReader {
        Options options; /* first: options_free() is given its address */
        OptionTable table;
        KeptText *kept;                      /* every string that the options point to */
        const char **modules[TEMPLATES_MAX]; /* the imports of each template, and their number */
        size_t n_modules[TEMPLATES_MAX];
        const char **paths[TEMPLATES_MAX]; /* likewise the read-only paths */
        size_t n_paths[TEMPLATES_MAX];
        bool given[TEMPLATES_MAX][OPTIONS_IN_TABLE_MAX]; /* which options a file, the environment or
                                                            a flag has set, by option_number() */
} OptionsReader;

/* Where a value stands, for the message about it and for relative paths. */
typedef struct OptionSource {
        const char *name;      /* "--workers", "HATCHERY_WORKERS", "/etc/hatchery.ini:12" */
        const char *directory; /* that a relative path starts from; NULL: the current one */
} OptionSource;

/* Says on standard error what is wrong and where, in one line. Returns -EINVAL. */
int options_complain(const char *where, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* A copy that lives as long as the options. */
char *options_keep(OptionsReader *reader, const char *text, size_t size);

/* Parses text and stores it: for an option of a template in that template. */
_must_check_ int option_assign(OptionsReader *reader, const OptionInfo *option, size_t template,
                               const char *text, OptionSource source);

/* Adds the modules of a list to the imports of a template; a name that stands there already is left
 * out. As packages, names like scikit-learn become the module they install. */
_must_check_ int option_add_modules(OptionsReader *reader, size_t template, const char *text,
                                    bool are_packages, const char *where);

/* A path as given or, when it is relative, below the source's directory. Kept. */
_must_check_ int option_keep_path(OptionsReader *reader, const char *text, OptionSource source,
                                  const char **ret_path);

/* Adds the paths of a list, with commas or ends of lines between them. */
_must_check_ int option_add_paths(OptionsReader *reader, size_t template, const char *text,
                                  OptionSource source);

_must_check_ int option_parse_isolation(const char *text, const char *where,
                                        IsolationMode *ret_mode);
/* Names of layers, with commas or spaces between them. */
_must_check_ int option_parse_layers(const char *text, const char *where, LayerMask *ret_layers);

/* Checks that what runs are shown of the host exists and holds nothing of the server's own. */
_must_check_ int options_check_views(const Options *options);

/* The configuration file, by way of inih. */
typedef struct ConfigFile ConfigFile;

_must_check_ int config_file_read(const char *path, ConfigFile **ret_file);
ConfigFile *config_file_free(ConfigFile *file);
DEFINE_CLEANUP(ConfigFile, config_file_free)
/* [server] and [template.default]. */
_must_check_ int config_file_apply_default(const ConfigFile *file, OptionsReader *reader);
/* The other templates, each of which starts from the limits of the default one. */
_must_check_ int config_file_apply_templates(const ConfigFile *file, OptionsReader *reader);

/* Makes the standard of each limit of a template fit under its maximum: when only one of the two
 * was given, the other one gives way. Before the other templates take over the limits of the
 * default one. */
_must_check_ int options_finish_limits(OptionsReader *reader, size_t template);

/* Works out what depends on the machine or on other options, and checks what one option alone
 * cannot tell. */
_must_check_ int options_finish(OptionsReader *reader);
