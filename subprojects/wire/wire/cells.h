#pragma once
/*
 * cells: the commands between the supervisor and a cell maker, over one SOCK_SEQPACKET socket.
 *
 * A *cell* is the place of one slot: a pid and a mount namespace (and, for a plain user, a user
 * namespace), with a read-only view of the system and one private tmpfs. It is made before any
 * worker, kept from run to run while it is clean, and thrown away whole when it is not. Its
 * *keeper* is its pid 1: a tiny process that reaps and waits; when it is killed, the kernel kills
 * everything else in the cell. The *cell maker* makes them; it is a small process of its own, so
 * that no interpreter has to be forked for it. Keepers are forked with CLONE_PARENT: children of
 * the supervisor.
 *
 * What all cells of a maker share (user, net, ipc, uts and cgroup namespace) the maker enters
 * itself, and hands to the supervisor, which hands it to the zygote; workers inherit it from there.
 *
 * A cell maker is started as
 *     hatchery-python --make-cells --socket FD --layers MASK [--view PATH]... [--data PATH]
 *                     [--homes FD] [--log-level LEVEL]
 * MASK: decimal LayerMask; the namespaces in it, and only these, are made. PATH: seen by workers at
 * the same place, read-only (--view) or writable (--data), besides what interp/view.c lists.
 * --homes: a descriptor of the folder of all homes (pool/home.h), whose path is nobody's business.
 * The maker ends when the other end of the socket closes, and so do its keepers when the supervisor
 * dies.
 */

#include <stdint.h>

#include "wire/layers.h"

/* What all of them have for a host name. */
#define CELL_HOST_NAME "hatchery"

/* Descriptors that come with CELLS_READY: one for each of these in the report's layers, in this
 * order. */
#define CELLS_SHARED_LAYERS                                                                        \
        {                                                                                          \
                LAYER_USER_NAMESPACE, LAYER_NET_NAMESPACE, LAYER_IPC_NAMESPACE,                    \
                        LAYER_UTS_NAMESPACE, LAYER_CGROUP_NAMESPACE                                \
        }
#define CELLS_SHARED_MAX 5

/* Descriptors that come with CELL_MADE: those whose layer is in its layers, in this order, the
 * directory always last. */
typedef enum CellFd {
        CELL_FD_PID_NAMESPACE,
        CELL_FD_MOUNT_NAMESPACE,
        CELL_FD_USER_NAMESPACE,
        CELL_FD_DIRECTORY, /* O_PATH: root of the tmpfs; holds work/, tmp/ and shm/, which workers
                            * see as /work, /tmp and /dev/shm. Only with a mount namespace */
        _CELL_FDS,
} CellFd;

typedef struct CellCommand {
        uint32_t kind; /* CELL_MAKE */
        uint32_t slot; /* for the report */
        uint32_t uid;  /* owner of the three folders; the maker's own when not root */
        uint32_t gid;
        uint64_t size_bytes; /* of the tmpfs */
        uint64_t inodes;
        char home[24]; /* name of a home below --homes, NUL-terminated: the cell has its work/ as
                        * /work and its packages/, read-only, as /packages. Empty: /work is of the
                        * tmpfs, and /packages is empty */
} CellCommand;
_Static_assert(sizeof(CellCommand) == 56, "no padding on the wire");

#define CELL_MAKE 1U

typedef enum CellReportKind {
        CELLS_READY = 1, /* the maker can make cells; layers: those it has made for all */
        CELLS_FAILED,    /* it cannot; error, text: what was tried; it exits next */
        CELL_STARTED, /* from the maker, before its keeper says anything: slot; value: the keeper's
                       * pid as the supervisor sees it */
        CELL_MADE,    /* from the keeper, through the same socket: slot, layers, descriptors */
        CELL_FAILED,  /* slot, error, text: what was tried; a keeper that was started exits */
} CellReportKind;

typedef struct CellReport {
        uint32_t kind; /* of CellReportKind */
        uint32_t slot;
        LayerMask layers;
        int32_t error; /* errno */
        int64_t value;
        char text[128]; /* NUL-terminated */
} CellReport;
_Static_assert(sizeof(CellReport) == 152, "no padding on the wire");
