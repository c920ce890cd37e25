#include "interp/streams.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Threads of the run write at the same time as others; then the order of what they write is
 * anybody's. */
static struct {
        atomic_uint_fast64_t bytes[2];
        atomic_int latest; /* the descriptor written to last; 0: none */
        atomic_uint n_switches;
        StreamPlace switches[RESULT_SWITCHES_MAX];
} counted;

static void count(int fd, uint64_t size) {
        int latest = atomic_exchange_explicit(&counted.latest, fd, memory_order_relaxed);

        if (latest != 0 && latest != fd && counted.n_switches < RESULT_SWITCHES_MAX) {
                unsigned i =
                        atomic_fetch_add_explicit(&counted.n_switches, 1, memory_order_relaxed);

                if (i < RESULT_SWITCHES_MAX)
                        counted.switches[i] = streams_place();
        }
        atomic_fetch_add_explicit(&counted.bytes[fd - STDOUT_FILENO], size, memory_order_relaxed);
}

/*
 * A pipe that is full takes a part of what is written when a signal comes meanwhile, if only one
 * that stops the process, and says how much. Nobody writes the rest: io.TextIOWrapper does not look
 * at what a stream without a buffer has taken (_textiowrapper_writeflush() in CPython 3.11), so
 * that the end of what was printed would be missing. The supervisor reads on, or kills.
 */
static size_t write_rest(int fd, const uint8_t *data, size_t size) {
        size_t written = 0;

        while (written < size) {
                ssize_t n = syscall(SYS_write, fd, data + written, size - written);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                written += (size_t) n;
        }
        return written;
}

/* The program exports this name, and the dynamic linker finds it before that of libc. There, it
 * would besides be a point where pthread_cancel(3) may end a thread, which Python never asks for.
 */
__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t size) {
        ssize_t n = syscall(SYS_write, fd, data, size);

        if (n <= 0 || (fd != STDOUT_FILENO && fd != STDERR_FILENO))
                return n;
        if ((size_t) n < size)
                n += (ssize_t) write_rest(fd, (const uint8_t *) data + n, size - (size_t) n);
        count(fd, (uint64_t) n);
        return n;
}

void streams_begin(void) {
        for (int i = 0; i < 2; i++)
                atomic_store_explicit(&counted.bytes[i], 0, memory_order_relaxed);
        counted.latest = 0;
        counted.n_switches = 0;
}

StreamPlace streams_place(void) {
        StreamPlace place;

        for (int i = 0; i < 2; i++)
                place.bytes[i] = atomic_load_explicit(&counted.bytes[i], memory_order_relaxed);
        return place;
}

Slice streams_switches(void) {
        unsigned n = counted.n_switches;

        if (n > RESULT_SWITCHES_MAX)
                n = RESULT_SWITCHES_MAX;
        return slice_of(counted.switches, n * sizeof(counted.switches[0]));
}
