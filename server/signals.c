#include "server/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>

#include "kit/error.h"

/* A handler has no other way to find its pipe. */
static int signal_pipe[2] = {-1, -1};

static void on_signal(int signal_number) {
        uint8_t byte = (uint8_t) signal_number;
        int error = errno;

        /* When the pipe is full, there are enough signals in it. */
        if (write(signal_pipe[1], &byte, 1) < 0)
                errno = error;
}

int signals_open(void) {
        static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

        if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return raise_errno("make the pipe of the signals");
        for (size_t i = 0; i < N_ELEMENTS(caught); i++) {
                if (sigaction(caught[i], &action, NULL) < 0)
                        return raise_errno("catch signal %d", caught[i]);
        }
        action.sa_handler = SIG_IGN;
        if (sigaction(SIGPIPE, &action, NULL) < 0)
                return raise_errno("ignore SIGPIPE");
        return signal_pipe[0];
}

int signals_next(void) {
        uint8_t byte;

        return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}
