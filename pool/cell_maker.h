#pragma once
/*
 * cell_maker: the supervisor's end of one cell maker process: start it, ask it for cells, hear of
 * them. What follows from that is decided in pool/generation.c and pool/cell.c.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/template.h"
#include "wire/cells.h"

typedef struct CellMaker CellMaker;

/* Starts the program; it becomes ready later. state_directory: where the homes of sessions are
 * (pool/home.h), or NULL; log_level may be NULL. */
_must_check_ int cell_maker_new(const char *program, const TemplateConfig *config, LayerMask layers,
                                const char *state_directory, const char *log_level,
                                CellMaker **ret_maker);
/* Kills the process and waits for it. The cells that it made go on. */
CellMaker *cell_maker_free(CellMaker *maker);
DEFINE_CLEANUP(CellMaker, cell_maker_free)

/* Readable when there is a report, or the process has ended. */
int cell_maker_fd(const CellMaker *maker);
pid_t cell_maker_pid(const CellMaker *maker);

/* Namespaces that it has made for all its cells, for the zygote to enter; owned by the maker. Valid
 * after CELLS_READY. Returns how many. */
size_t cell_maker_shared_fds(const CellMaker *maker, int ret_fds[CELLS_SHARED_MAX]);

enum {
        CELL_MAKER_NO_REPORT = 0,
        CELL_MAKER_REPORT, /* *ret_report is set; of CELL_MADE, ret_fds too, -1 for those not there
                            */
        CELL_MAKER_GONE,
};

/* Never blocks. The descriptors become the caller's; those of CELLS_READY are kept inside. */
_must_check_ int cell_maker_receive(CellMaker *maker, CellReport *ret_report,
                                    int ret_fds[_CELL_FDS]);

/* Returns 0, -EAGAIN when the socket is full, or another -errno when it is broken. */
_must_check_ int cell_maker_ask(CellMaker *maker, const CellCommand *command);
