#pragma once
/*
 * template_internal: what the files of the pool share about a template: what it has, and how what
 * makes its workers is started and replaced; included by pool/internal.h.
 *
 *     generation.c        cell makers and zygotes: start, promote, replace
 *     generation_report.c what they say, and what follows from it
 *     obstacle.c          what keeps workers from being made, and how long to wait then
 */

#include "kit/clock.h"
#include "pool/canary.h"
#include "pool/cell_maker.h"
#include "pool/pool.h"
#include "pool/slot.h"
#include "pool/timer.h"
#include "pool/zygote.h"

typedef struct Slot Slot;
typedef struct Template Template;

/* A fork takes milliseconds. A zygote that has not reported one after this does not run; one that
 * merely had to wait for a processor is not replaced, as a new one would have to wait far longer.
 */
#define SPAWN_REPORT_TIMEOUT_NS (5 * NS_PER_S)

typedef struct SlotList {
        Slot *first;
        unsigned n;
} SlotList;

/* Slots of one kind of a template: those for runs without a session, or those of sessions. */
typedef struct SlotSet {
        SlotList empty, idle[2]; /* idle: untouched, touched */
        unsigned n_states[_SLOT_STATES];
} SlotSet;

struct Template {
        Pool *pool;
        unsigned index;
        const TemplateConfig *config;
        LayerMask layers;      /* that its workers take */
        bool has_cells;        /* its workers live in cells … */
        bool has_cell_folders; /* … in which their files are, too */
        bool ends_cells;       /* a cell is not kept after a run: something may still run in it */
        SlotSet runs, sessions, canaries;
        unsigned n_session_spares; /* slots that hold one, or will */
        bool session_turn; /* a session's worker is made next, where runs wait for others, too */
        Run *queue_first, *queue_last;
        unsigned n_queued;
        Timer queue_timer; /* the deadline of queue_first */

        Zygote *zygote;                /* serves; NULL: none */
        Zygote *next_zygote;           /* starting */
        CellMaker *maker, *next_maker; /* likewise; only where layers need one */
        bool next_maker_is_ready;      /* the zygote is started then */
        bool next_is_ready;     /* and is to take over as soon as its canaries have proven it */
        char *next_about;       /* … with this … */
        uint64_t next_start_ms; /* … and that */
        unsigned zygote_generation, next_generation; /* of the two */
        unsigned generations, restarts;
        unsigned outstanding;       /* spawn commands without a report */
        unsigned next_outstanding;  /* … of the next zygote */
        unsigned cells_outstanding; /* cells that have been asked for and cannot be used yet … */
        unsigned cells_unnamed;     /* … of these: whose keeper is not known yet */
        uint64_t ready_ns;          /* when the serving one became ready */
        Timer zygote_timer;         /* start deadline, else end of the back-off, else its age */
        Timer spawn_timer; /* a spawn that is not reported by then means that the zygote hangs */
        uint64_t spawn_retry_ns;  /* no spawn before that */
        unsigned worker_failures; /* workers in a row that were never ready */
        char *obstacle;           /* the step that the last of these failed at; NULL: not known */
        bool obstacle_is_final;   /* it was not a worker that failed, but what makes all of them */
        bool reload_waits; /* asked for while the next zygote was starting, perhaps too late for it
                            */
        Canary canary;
        unsigned failures;       /* in a row: starts that failed, and deaths soon after a start */
        bool was_ready, has_run; /* its zygote once; a run of it once */
        char *doing, *failure, *about;
        uint64_t start_ms;
};

/* generation.c */
void generation_start(Template *template);
void generation_on_report(Template *template, unsigned generation);
void generation_on_cells(Template *template, unsigned generation);
void generation_on_hung_maker(Template *template, unsigned generation);
/* What its reports lead to. why: which of its two processes, and what it did. */
void generation_set_doing(Template *template, const char *text);
void generation_on_maker_ready(Template *template);
void generation_on_ready(Template *template, const ZygoteReport *report);
/* The next one takes over. */
void generation_promote(Template *template);
void generation_failed(Template *template, bool serves, const char *why);
/* The maker to ask for cells, or NULL, and the generation that they will be of. */
CellMaker *generation_maker(const Template *template, unsigned *ret_generation);
/* That of a generation, and its zygote when that can fork; or NULL. */
CellMaker *generation_maker_of(const Template *template, unsigned generation);
Zygote *generation_zygote_of(const Template *template, unsigned generation);
void generation_on_timer(Template *template);
void generation_on_spawn_timer(Template *template);
/* That one's workers do not hold: it ends, with all of them, and another one is started later. The
 * one that serves, if it is another, goes on. */
void generation_refuse(Template *template, unsigned generation, const char *why);
void generation_stop(Template *template);

/* obstacle.c */
/* A worker ended before it was ready: the next one is asked for a little later, and later each
 * time. */
void slot_has_failed(const Slot *slot);
void spares_worker_is_ready(Template *template);
/* What a worker, its cell, or the maker of all cells has said that it failed at: "step: why". */
void obstacle_note(Template *template, Slice step, bool is_final);
void slot_note_obstacle(const Slot *slot, Slice step);
void obstacle_forget(Template *template);
/* The step, when it has failed so often that there will be no worker; or NULL. */
const char *obstacle_of(const Template *template);
