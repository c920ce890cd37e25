#pragma once
/*
 * notebook_cell: what stands in a notebook (notebook.h), without files: one cell as one line of
 * JSON, as nbformat 4.5 has it, and what is made of many such lines. A cell holds what a snippet
 * has said, which may be hostile: nothing of it can break its line, or make the notebook one that
 * its readers refuse.
 */

#include "kit/bytes.h"
#include "pool/run.h"

typedef struct NotebookRun {
        const char *cell_id; /* letters, digits, "-", "_"; 1 to 64 of them */
        Slice source;
        const RunResult *result;
        uint64_t end_ms; /* when it ended, since the epoch */
} NotebookRun;

/* Appends a code cell without its line's end. Returns as buffer_append(): -EMSGSIZE past the
 * buffer's limit. */
_must_check_ int notebook_write_run(const NotebookRun *run, Buffer *out);

/* Likewise with a note in place of what is too long for limit bytes: first of the outputs, then of
 * the source, too. */
_must_check_ int notebook_write_run_within(const NotebookRun *run, size_t limit, Buffer *out);

/* Likewise a cell of text that is one sentence. */
_must_check_ int notebook_write_note(const char *cell_id, const char *sentence, Buffer *out);

/* --- many cells, in notebook_lines.c --- */

/* Appends what is left of lines when they may have target bytes: first the outputs of the oldest
 * cells go, then those cells, and a cell in front says so. Lines that are no cells are left out. */
_must_check_ int notebook_trim(Slice lines, size_t target, Buffer *out);

/* Appends the notebook of these lines, as one JSON document. */
_must_check_ int notebook_frame(Slice lines, const char *python_version, Buffer *out);
