#pragma once
/* notebook_internal: what notebook.c and notebook_document.c have in common. */

#include "server/notebook.h"

typedef struct Rewrite Rewrite;
typedef struct Save Save;

struct Notebooks {
        NotebookConfig config;
        Chores *chores;
        Rewrite *rewrites; /* under way */
        Save *saves;       /* likewise */
};

#define NOTEBOOK_FILE_NAME_MAX 32

/* What was in a session's file of cells at one moment: the first size bytes of what fd reads, which
 * never change. fd is -1 where nothing has been run yet. */
typedef struct CellsView {
        int fd;
        uint64_t size;
} CellsView;

/* The caller closes fd. */
_must_check_ int notebook_view(const Session *session, CellsView *ret_view);
/* Appends all of it to out. For chores. */
_must_check_ int notebook_view_read(const CellsView *view, Buffer *out);
_must_check_ int notebook_write_all(int fd, Slice bytes);
