#pragma once
/* app: what every handler may need, made once in main.c. No behaviour of its own. */

#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"

typedef struct Options Options;
typedef struct Store Store;
typedef struct HangupWatcher HangupWatcher;
typedef struct Installer Installer;
typedef struct Notebooks Notebooks;

typedef struct App {
        const Options *options;
        IsolationPlan isolation;
        Pool *pool;
        Installer *installer; /* NULL: there are no sessions */
        Store *store;         /* uploaded data of the code-execution-sandbox API */
        HangupWatcher *hangups;
        Notebooks *notebooks; /* of the sessions */
        uint64_t start_ns;    /* when the server started, monotonic */
        bool was_ready;       /* every template has been able to take a run */
        bool draining;
        bool is_closed;       /* no request is answered any more */
        unsigned connections; /* open now */
        uint64_t requests;    /* answered so far */
} App;
