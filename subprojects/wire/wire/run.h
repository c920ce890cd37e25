#pragma once
/*
 * run: the vocabulary of the two pipes of a worker.
 *
 * Supervisor to worker, on the request pipe: either one REQUEST_TOUCH, any time before a run; or
 * REQUEST_PROBE (wire/probe.h) in place of a run; or one run: any number of the frames below in any
 * order (files come as FILE_PATH followed by FILE_CONTENT, variables of the environment as
 * NAME=VALUE), closed by REQUEST_END, which carries a RequestOptions.
 *
 * A worker of a session (SPAWN_SESSION) takes any number of runs, one after another: the next
 * request may follow a RESULT_END without a RESULT_READY between them.
 *
 * Worker to supervisor, on the result pipe: RESULT_READY once it is confined and can take a run
 * (again after each run under the recycle policy `reset`), or RESULT_FAILED when it could not be
 * prepared. RESULT_TOUCHED answers REQUEST_TOUCH. Then, for a run: any number of RESULT_DISPLAY, at
 * most one of each other kind, closed by RESULT_END. What the run prints goes elsewhere, to the
 * pipes that are its standard output and error; a StreamPlace says where among that something
 * belongs. After it, a worker that is not kept waits to
 * be killed: were it to exit by itself, the core that it tears its memory down on might be the one
 * that the supervisor needs. Nothing here can state a status, a time, a limit or an identity: those
 * are measured from outside.
 */

#include <stdint.h>

typedef enum RequestKind {
        REQUEST_TOUCH =
                1,    /* empty: write to the pages that heavy runs dirty, then say RESULT_TOUCHED */
        REQUEST_CODE, /* Python source, UTF-8; may hold NUL bytes */
        REQUEST_STDIN,       /* what standard input will deliver before end of file */
        REQUEST_ARGUMENT,    /* one element of sys.argv[1:] */
        REQUEST_ENVIRONMENT, /* NAME=VALUE */
        REQUEST_DATA,        /* a JSON object, already validated: each member becomes a variable */
        REQUEST_FILE_PATH,   /* relative path in the workspace, already checked: no "..", no leading
                                "/" */
        REQUEST_FILE_CONTENT, /* bytes of the file whose path came just before */
        REQUEST_VARIABLE,     /* name of a variable to report */
        REQUEST_END,          /* RequestOptions */
        REQUEST_PROBE, /* ProbeRequest: try to break out, then say RESULT_PROBED, and take no run */
} RequestKind;

typedef enum RequestFlag {
        REQUEST_WANT_VALUE = 1 << 0,         /* report the value of a last expression */
        REQUEST_WANT_DISPLAYS = 1 << 1,      /* report figures and display() calls */
        REQUEST_WANT_ALL_VARIABLES = 1 << 2, /* report every public variable */
        REQUEST_PLAIN_VARIABLES = 1 << 3, /* … as the code-execution-sandbox API has them: other
                                           * objects as their __dict__, else str; names that start
                                           * with "__", and modules, left out */
        REQUEST_BIND_ANALYSIS = 1 << 4,   /* bind pd and np before the run */
        REQUEST_BIND_PLOT = 1 << 5,       /* bind plt (matplotlib.pyplot), too */
        REQUEST_NEW_PACKAGES = 1 << 6,    /* packages have been added since the last run */
        REQUEST_BIND_JSON = 1 << 7,       /* bind json before the run */
} RequestFlag;

typedef struct RequestOptions {
        uint32_t flags;        /* of RequestFlag */
        uint32_t processes;    /* how many processes the run may have at once, itself included */
        uint64_t cpu_seconds;  /* RLIMIT_CPU; a backstop behind the supervisor's clock */
        uint64_t memory_bytes; /* address space the run may add to the warm interpreter's */
        uint64_t file_bytes;   /* RLIMIT_FSIZE */
        uint64_t value_bytes;  /* cap of each value, display and variables document */
} RequestOptions;
_Static_assert(sizeof(RequestOptions) == 40, "no padding on the wire");

/* How much had been written to the two streams, since the run began, when something happened. It is
 * counted by the worker and so a claim: its reader holds it to what has come. */
typedef struct StreamPlace {
        uint64_t bytes[2]; /* of standard output, of standard error */
} StreamPlace;
_Static_assert(sizeof(StreamPlace) == 16, "no padding on the wire");

typedef enum ResultKind {
        RESULT_READY = 1, /* empty; WireForkNotes (wire/session.h) from a copy */
        RESULT_FAILED,    /* text: which step, and why */
        RESULT_TOUCHED,   /* empty */
        RESULT_DISPLAY,   /* a StreamPlace, then a JSON object: MIME type → content */
        RESULT_VALUE,     /* such an object, the value of the last expression */
        RESULT_VARIABLES, /* a JSON object: name → value */
        RESULT_REPRS, /* a JSON array of the names in RESULT_VARIABLES that are a repr or were cut
                       */
        RESULT_ERROR_TYPE,      /* text */
        RESULT_ERROR_MESSAGE,   /* text */
        RESULT_ERROR_TRACEBACK, /* text: the user's frames only */
        RESULT_ERROR_LINE,      /* uint32_t: line of the source, from 1 */
        RESULT_SWITCHES,        /* StreamPlaces, in order: each where the other of the two streams
                                 * had its turn; not sent without one */
        RESULT_END,             /* ResultEnd */
        RESULT_PROBED,          /* ProbeAnswer */
        _RESULT_KIND_MAX,
} ResultKind;

typedef enum RunOutcome {
        OUTCOME_COMPLETED = 1, /* the last statement was executed */
        OUTCOME_RAISED,        /* an exception reached the top, or the source did not compile */
        OUTCOME_EXITED,        /* SystemExit reached the top; exit_code says with what */
        _OUTCOME_MAX,
} RunOutcome;

typedef struct ResultEnd {
        uint32_t outcome; /* of RunOutcome */
        int32_t exit_code;
} ResultEnd;
_Static_assert(sizeof(ResultEnd) == 8, "no padding on the wire");

/* A text body (error type, message, traceback) is cut to this by the worker and refused above it by
 * the reader. */
#define RESULT_TEXT_MAX     (256U << 10)
#define RESULT_DISPLAYS_MAX 64
/* Of the switches, the first so many are told. */
#define RESULT_SWITCHES_MAX 256
