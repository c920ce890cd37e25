#pragma once
/* cell_report: how the cell maker and its keepers speak to the supervisor (wire/cells.h), and how a
 * step that fails is put into words. */

#include <stddef.h>

#include "kit/cleanup.h"
#include "wire/cells.h"

/* Notes errno, as it stands, and what was tried. Returns -errno. */
int cell_report_failure(CellReport *report, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Sends the report with these descriptors, which stay the caller's; waits while the socket is full.
 * Returns 0 or -errno. */
_must_check_ int cell_report_send(int socket_fd, const CellReport *report, const int *fds,
                                  size_t n_fds);
