#include "interp/interrupts.h"

#include <Python.h>

#include <signal.h>
#include <stdbool.h>

/* An exception that is dropped may have kept other handlers from running. */
#define HANDLERS_TRIES 8

static enum { UNMANAGED, IGNORED, NOTED, DELIVERED } mode;

/* What CPython has installed for the code of the session: its own handler, or what signal.signal()
 * was told. */
static struct sigaction of_code;

static volatile sig_atomic_t has_come;

static void note(int number) {
        has_come = number;
}

/*
 * A handler of CPython's only sets a flag, which the next bytecode of the main thread looks at:
 * that bytecode must not be one of the harness.
 */
static void drop_tripped(void) {
        for (int i = 0; i < HANDLERS_TRIES && PyErr_CheckSignals() < 0; i++)
                PyErr_Clear();
        PyErr_Clear();
}

/* In this order: none can be tripped any more once the flags are looked at. */
void interrupts_ignore(void) {
        struct sigaction ignore = {.sa_handler = SIG_IGN}, old;

        if (sigaction(SIGINT, &ignore, &old) == 0 && (mode == UNMANAGED || mode == DELIVERED))
                of_code = old;
        mode = IGNORED;
        drop_tripped();
}

void interrupts_note(void) {
        struct sigaction noting = {.sa_handler = note, .sa_flags = SA_RESTART};

        drop_tripped();
        has_come = 0;
        (void) sigaction(SIGINT, &noting, NULL);
        mode = NOTED;
}

/* PyErr_SetInterrupt() does what the handler would have done. */
void interrupts_deliver(void) {
        if (mode != NOTED)
                return;
        (void) sigaction(SIGINT, &of_code, NULL);
        mode = DELIVERED;
        if (has_come)
                PyErr_SetInterrupt();
}
