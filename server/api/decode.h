#pragma once
/* decode: what POST /v1/execute and each run of a batch is asked: the body, member by member, into
 * a RunRequest. */

#include "pool/run.h"
#include "pool/template.h"
#include "server/api/reader.h"

#define REQUEST_ARGUMENTS_MAX   1024
#define REQUEST_ENVIRONMENT_MAX 1024
#define REQUEST_FILES_MAX       1024
#define REQUEST_VARIABLES_MAX   1024
#define REQUEST_COLLECT_MAX     64
#define REQUEST_PATH_MAX        1024 /* bytes of a path */
#define REQUEST_COMPONENT_MAX   255  /* bytes between two slashes */
#define REQUEST_ID_MAX          256  /* bytes of a batch element's id, as it stands in the text */

typedef struct DecodeContext {
        const TemplateConfig *templates; /* the first one is "default" */
        size_t n_templates;
        unsigned standard_template; /* of a request that names none */
        Slice standard_limits; /* a JSON object for a request that names none of these, or empty */
        bool allow_id;         /* a member `id`, which stands for nothing here */
        bool in_session;       /* no member `template`, and one more: `on_timeout` */
} DecodeContext;

typedef struct ExecuteRequest {
        Reader reader; /* owns what run points to, as far as that is not in the body */
        const DecodeContext *context;
        RunRequest run;
        bool base64; /* stdout and stderr as bytes */
        bool wants_variables;
        Slice id;                  /* a JSON string or number, as it came; empty: none */
        JsonItem template, limits; /* seen but not yet applied; value.size is 0 when absent */
        bool has_code;
        Slice *arguments;
        RunVariable *environment;
        RunFile *files;
        Slice *variables;
        Slice *collect;
} ExecuteRequest;

/* Borrows body and context until execute_request_done(), which is due in every case. On false,
 * request->reader.error says why. */
bool execute_request_decode(ExecuteRequest *request, const DecodeContext *context, Slice body);
void execute_request_done(ExecuteRequest *request);

/* An object of names and values, each read by read_variable. *ret_variables is the caller's to
 * free, in every case. */
bool decode_environment(Reader *reader, const JsonItem *item,
                        bool (*read_variable)(Reader *reader, const JsonItem *item,
                                              RunVariable *ret_variable),
                        RunVariable **ret_variables, size_t *ret_n);

/* --- what a template allows, in decode_limits.c --- */

/* The template of that name; the context's standard one when item->value is empty. */
bool decode_template(Reader *reader, const DecodeContext *context, const JsonItem *item,
                     unsigned *ret_template);
/* Lays the limits of a JSON object over those that are in *limits; within the template's maxima. */
bool decode_limits(Reader *reader, const TemplateConfig *template, Slice object, RunLimits *limits);

/* Reads the standard template and the standard limits of a batch; the values are checked here, so
 * that a mistake in them is told once and not with every run. Items whose value is empty are
 * absent. */
bool decode_standards(Reader *reader, DecodeContext *context, const JsonItem *template,
                      const JsonItem *limits);

/* The request's `files`, in decode_files.c. */
bool decode_files(Reader *reader, void *request, const JsonItem *item);
