#pragma once
/* run: the vocabulary of the pool: what is asked of a run, and what came of it. Plain data, no
 * behaviour. */

#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"
#include "pool/limits.h"
#include "wire/run.h"

/* Why a run ended. Decided in pool/verdict.c alone, from the supervisor's clock, the kernel's
 * counters and the wait status. */
typedef enum RunStatus {
        RUN_OK,
        RUN_ERROR,   /* a Python exception reached the top */
        RUN_EXIT,    /* the program ended itself; the exit code is given */
        RUN_TIMEOUT, /* wall clock */
        RUN_CPU_LIMIT,
        RUN_MEMORY_LIMIT,
        RUN_OUTPUT_LIMIT, /* only where the caller made overrun fatal */
        RUN_VIOLATION,    /* a forbidden system call */
        RUN_CRASHED,      /* a signal, or a broken result channel */
        RUN_CANCELLED,
        RUN_LOST, /* our own failure */
        _RUN_STATUSES,
} RunStatus;

/* What there was too much of, when the status is RUN_OUTPUT_LIMIT. */
typedef enum RunExcess {
        RUN_EXCESS_NONE,
        RUN_EXCESS_OUTPUT,
        RUN_EXCESS_FILES,
        RUN_EXCESS_DISK, /* of the server's: it wrote when that was nearly full */
        _RUN_EXCESSES,
} RunExcess;

/* "ok", "error", … as the API spells it. */
const char *run_status_name(RunStatus status);

typedef enum RunStream { RUN_STDOUT, RUN_STDERR, _RUN_STREAMS } RunStream;

typedef struct RunFile {
        Slice path; /* relative to the workspace: no "..", no empty component, not absolute, no NUL
                     */
        Slice content;
} RunFile;

typedef struct RunVariable {
        Slice name;  /* no "=", no NUL, not empty */
        Slice value; /* no NUL */
} RunVariable;

/* Everything here is borrowed for the time of pool_submit() only, which copies what it needs. */
typedef struct RunRequest {
        unsigned template; /* index, from pool_find_template() */
        Slice code;
        Slice stdin_bytes;
        const Slice *arguments;
        size_t n_arguments;
        const RunVariable *environment;
        size_t n_environment;
        Slice data; /* a JSON object that has passed json_check(), or empty */
        const RunFile *files;
        size_t n_files;
        const Slice *variables; /* names to report */
        size_t n_variables;
        const Slice
                *collect; /* glob patterns (fnmatch, '/' matched by '**' only) of files to return */
        size_t n_collect;
        unsigned flags;            /* of RequestFlag (wire/run.h) */
        bool output_overrun_kills; /* else output past the limit is cut out of the middle */
        bool interrupt_first; /* in a session: past wall_ms, KeyboardInterrupt, and the process is
                                 killed only when that does not end the run */
        RunLimits limits;     /* within the template's policy: the caller has checked */
} RunRequest;

/* What is kept of one stream: all of it, or its head and its tail. */
typedef struct RunOutput {
        Slice head;
        Slice tail;           /* empty unless truncated */
        uint64_t total_bytes; /* as many as the program wrote and the supervisor read */
        bool truncated;
} RunOutput;

typedef struct RunCollected {
        Slice path;
        Slice content;
        uint64_t size;       /* of the file; more than content.size when it was cut */
        const char *skipped; /* NULL, or why there is no content: "not a regular file", "too large",
                                … */
} RunCollected;

typedef struct RunError {
        Slice type; /* empty: no exception was reported */
        Slice message;
        Slice traceback;
        uint32_t line; /* from 1; 0: unknown */
} RunError;

typedef struct RunUsage {
        uint64_t wall_ns; /* from handing the request to the worker to its last frame or its end */
        uint64_t cpu_ns;  /* all threads, kernel and user, during the run */
        uint64_t peak_memory_kb; /* high-water mark of the resident set, the warm interpreter's
                                  * shared pages included; 0: the process was gone before it could
                                  * be read */
        uint64_t queue_ns;       /* from submission to handing over */
} RunUsage;

/* What a run in a session tells besides (pool/session.h). */
typedef struct RunInSession {
        bool is_in_session;
        const char *began_anew; /* NULL; or why the variables of earlier runs were gone when it
                                   began, as a sentence */
        const char *lost;       /* NULL; or why its variables are gone after it */
        uint64_t number;        /* of the run in its session, from 1 */
} RunInSession;

/* Valid during the done callback only. */
typedef struct RunResult {
        bool refused; /* it never ran: it waited in the queue past its deadline. Nothing below is
                         set but usage */
        RunStatus status;
        RunExcess excess;
        bool has_exit_code;
        int exit_code; /* 0 for ok, 1 for error, what the program gave for exit */
        int signal;    /* that ended the worker, or 0 */
        RunOutput output[_RUN_STREAMS];
        Slice value; /* JSON object (MIME type → content) or empty; proven well-formed */
        const Slice *displays; /* likewise, each */
        size_t n_displays;
        bool displays_truncated;
        /* How the output, the displays and the value followed one another: for pool/order.h. */
        const StreamPlace *places; /* one for each display; NULL: behind all output */
        size_t displays_before_value;
        Slice switches;       /* StreamPlaces, each where the other stream had its turn, or empty */
        Slice variables;      /* JSON object or empty */
        Slice variables_repr; /* JSON array or empty */
        RunError error;
        const RunCollected *files;
        size_t n_files;
        bool files_truncated; /* more matched than may be returned */
        RunUsage usage;
        RunLimits limits; /* the ones in force */
        RunInSession session;
} RunResult;
