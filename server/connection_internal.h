#pragma once
/* connection_internal: what the files of connection.h share. */

#include "server/connection.h"

typedef enum Phase {
        PHASE_HANDSHAKE, /* of TLS */
        PHASE_IDLE,      /* waits for a request, or (HTTP/2) for something that cannot be seen from
                            here */
        PHASE_RECEIVING, /* part of a request has come */
        PHASE_HANDLING,  /* a request is with a handler */
        PHASE_WRITING,   /* the kernel's buffer is full of the answer */
} Phase;

struct Connection {
        IntakeOwner owner; /* first: on_close.data is found by it */
        ConnectionTable *table;
        Connection *previous, *next;
        bool is_unhooked; /* in the table's list of these: */
        Connection *unhooked_previous, *unhooked_next;
        h2o_socket_t *sock;
        h2o_accept_ctx_t *accept;
        int fd;
        bool is_tls, is_tcp;
        bool is_accepted; /* by libh2o, after the handshake */
        bool is_shut_down;
        bool is_let_go;       /* … because of what it holds */
        HeldAnswer unsent;    /* all of its answers, until their requests have ended */
        unsigned in_flight;   /* requests with a handler, or being answered */
        uint64_t requests;    /* that have arrived */
        size_t head_searched; /* bytes of the input that hold no end of a head */
        bool head_complete;
        Phase phase;
        uint64_t mark;     /* differs when the connection has moved within its phase */
        uint64_t since_ns; /* when the phase began, or the mark changed */
};

struct ConnectionTable {
        h2o_loop_t *loop;
        const Options *options;
        Intakes *intakes;
        unsigned *count;
        void (*closed)(void *data);
        void *closed_data;
        Connection *unhooked; /* whose next request intake.h does not see yet */
        Connection **by_fd;
        size_t n_by_fd;
        Connection *first;
        uint64_t unsent_bytes; /* of all */
        uint64_t let_go_bytes; /* … of those that have been let go */
        h2o_timeout_t look_interval;
        h2o_timeout_entry_t look;
        uint64_t silence_ns; /* the longest time an honest HTTP/2 connection may be without movement
                              */
        bool draining;
};

/* ── connection_deadline.c ── */

/* What the connection is doing; *ret_mark differs when it has moved within its phase. */
Phase connection_observe(Connection *connection, uint64_t *ret_mark);
/* Ends it if it is late. */
void connection_look(Connection *connection, uint64_t now_ns);

/* ── connection.c ── */

void connection_shut_down(Connection *connection);
