#pragma once
/*
 * notebook: what has been run in a session, as a Jupyter notebook (nbformat 4.5).
 *
 * Beside the workspace, where no snippet sees it, lies "<member>.cells": one cell a line, as JSON,
 * exactly as it stands in the notebook, so that a run costs one write and the notebook is made by
 * putting a frame around the lines. Lines are only appended; a line that a crash has cut is no JSON
 * and is left out. A notebook that has grown past its bound is written anew, by a chore, without
 * the outputs of its oldest cells, and in the end without those cells.
 */

#include "kit/bytes.h"
#include "pool/session.h"

typedef struct Notebooks Notebooks;

typedef struct NotebookConfig {
        Pool *pool;            /* for its chores and for what it knows of templates. Borrowed */
        uint64_t bytes_max;    /* of one session's cells */
        const char *directory; /* absolute; of the notebooks that are kept as files. Borrowed */
} NotebookConfig;

/* Makes nothing on disk. */
_must_check_ int notebooks_new(const NotebookConfig *config, Notebooks **ret_notebooks);
/* After the pool, whose chores may still be at work on a notebook. */
Notebooks *notebooks_free(Notebooks *notebooks);
DEFINE_CLEANUP(Notebooks, notebooks_free)

/* --- what happened; a failure is logged, and the notebook lacks that cell --- */

/* A run that has ended. cell_id: letters, digits, "-" and "_"; of the run. */
void notebook_add_run(Notebooks *notebooks, const Session *session, const char *cell_id,
                      Slice source, const RunResult *result);
/* A sentence of ours between the cells: "The session was reset." */
void notebook_add_note(Notebooks *notebooks, const Session *session, const char *sentence);
/* A copy gets the cells of its source, before any of its own. done is called later, never from
 * inside; r: 0 or -errno. Returns 0 or -errno, and then done is not called. */
_must_check_ int notebook_copy(Notebooks *notebooks, const Session *source, const Session *copy,
                               void (*done)(void *data, int r), void *data);

/* --- what is told of it --- */

/* Makes the notebook as one JSON document. done is called later, never from inside, and owns what
 * document holds if it takes it; r: 0 or -errno. Returns 0, -EAGAIN when too much else is to be
 * done, or -errno. */
_must_check_ int notebook_read(Notebooks *notebooks, const Session *session,
                               void (*done)(void *data, int r, Buffer *document), void *data);

/* Where a session of that id has its file: "<directory>/<id>/notebook_<id>.ipynb". */
#define NOTEBOOK_PATH_MAX 4096
void notebook_path(const Notebooks *notebooks, Slice id, char *ret_path, size_t size);
/* Writes the notebook there, as a whole, by a chore; later saves of the same session that come
 * before its end are one. The file outlives the session, and is replaced by the next one of that
 * id. No symbolic link is followed below the directory. */
void notebook_save(Notebooks *notebooks, const Session *session);
