#pragma once
/*
 * options_table: the one list of what an operator can set. Flags, environment variables, keys of
 * the configuration file, --help and the bounds are all read from it. Private to options*.c.
 */

#include "server/options.h"

typedef enum OptionKind {
        OPTION_TEXT,      /* const char * */
        OPTION_PATH,      /* const char *, made absolute */
        OPTION_SWITCH,    /* bool */
        OPTION_UNSIGNED,  /* unsigned */
        OPTION_UINT32,    /* uint32_t */
        OPTION_UINT64,    /* uint64_t */
        OPTION_MODULES,   /* names of modules: imports and n_imports of a template */
        OPTION_RECYCLE,   /* Recycle */
        OPTION_ISOLATION, /* IsolationMode */
        OPTION_LAYERS,    /* LayerMask, from names */
        OPTION_PATHS,     /* absolute: read_only_paths and n_read_only_paths of a template */
        OPTION_LOG_LEVEL, /* const char * that log_level_parse() knows */
} OptionKind;

/* Where the value lives, and in which section of the file its key stands. As a flag or in the
 * environment, an option of a template speaks of the template "default". */
typedef enum OptionHome { OPTION_OF_SERVER, OPTION_OF_TEMPLATE } OptionHome;

typedef struct OptionInfo {
        const char *group; /* heading in --help */
        const char *name;  /* "queue-wait-ms": --queue-wait-ms, HATCHERY_QUEUE_WAIT_MS, key
                              queue-wait-ms */
        OptionHome home;
        size_t offset; /* of the value, in Options or TemplateConfig */
        OptionKind kind;
        const char
                *standard; /* the default as text; NULL: none, or worked out in options_finish.c */
        uint64_t minimum, maximum; /* of a number */
        const char *value_help;    /* what stands for the value in --help: "MS", "BYTES", … */
        const char *help;
} OptionInfo;

/* Options are numbered by their place, and remembered as given in a uint64_t. */
#define OPTIONS_IN_TABLE_MAX 96
#define OPTION_NAME_MAX      32

typedef struct OptionTable {
        OptionInfo options[OPTIONS_IN_TABLE_MAX];
        size_t n_options;
        char limit_names[2 * _LIMITS][OPTION_NAME_MAX];
        char limit_standards[2 * _LIMITS][24];
} OptionTable;

/* Fills the table: what is fixed, and two options for each limit of pool/limits.h: its standard and
 * its maximum. */
void option_table_build(OptionTable *ret_table);

/* The option of that name, or NULL. */
const OptionInfo *option_table_find(const OptionTable *table, const char *name, size_t name_size);

/* Bit of the option in a set of options. */
size_t option_number(const OptionTable *table, const OptionInfo *option);

/* The two options of a limit. */
const OptionInfo *option_of_limit_standard(const OptionTable *table, Limit limit);
const OptionInfo *option_of_limit_maximum(const OptionTable *table, Limit limit);

/* The name that is nearest to a misspelt one, or NULL when none is near. */
const char *option_table_nearest(const OptionTable *table, const char *name);

/* --help. */
void option_table_print_help(const OptionTable *table);
