#include "server/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/error.h"

typedef struct SpoolBuffer {
        size_t size;
        uint8_t bytes[SPOOL_BUFFER_BYTES];
} SpoolBuffer;

struct Spool {
        Chore chore;
        Chores *chores;
        void (*moved)(void *data);
        void *data;
        int fd;
        int error;
        uint64_t size;
        bool busy;     /* a chore has the buffer that is written */
        bool orphaned; /* … and frees the spool when it is done */
        bool finished;
        SpoolBuffer *filling, *writing;
};

/* Not every file system can make a file that never had a name. */
static int open_file(int folder_fd) {
        static unsigned sequence;
        char name[64];
        int fd = openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0)
                return fd;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
                return raise_errno("make a file for a request's body");
        (void) snprintf(name, sizeof(name), ".body-%d-%u", (int) getpid(), sequence++);
        fd = openat(folder_fd, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return raise_errno("make a file for a request's body");
        (void) unlinkat(folder_fd, name, 0);
        return fd;
}

Spool *spool_new(Chores *chores, int folder_fd, void (*moved)(void *data), void *data) {
        Spool *spool = calloc(1, sizeof(*spool));

        if (!spool)
                return NULL;
        spool->chores = chores;
        spool->moved = moved;
        spool->data = data;
        spool->filling = malloc(sizeof(*spool->filling));
        spool->writing = malloc(sizeof(*spool->writing));
        spool->fd = open_file(folder_fd);
        if (spool->fd < 0)
                spool->error = spool->fd;
        else if (!spool->filling || !spool->writing)
                spool->error = -ENOMEM;
        if (spool->filling)
                spool->filling->size = 0;
        return spool;
}

static Spool *destroy(Spool *spool) {
        kit_close_fd(&spool->fd);
        free(spool->filling);
        free(spool->writing);
        free(spool);
        return NULL;
}

Spool *spool_free(Spool *spool) {
        if (!spool)
                return NULL;
        spool->orphaned = true;
        return spool->busy ? NULL : destroy(spool);
}

static int write_work(Chore *chore) {
        const Spool *spool = (Spool *) chore;
        const SpoolBuffer *buffer = spool->writing;

        for (size_t at = 0; at < buffer->size;) {
                ssize_t n = write(spool->fd, buffer->bytes + at, buffer->size - at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return raise_errno("write a request's body");
                at += (size_t) n;
        }
        return 0;
}

static void write_waiting(Spool *spool);

static void write_done(Chore *chore, int result) {
        Spool *spool = (Spool *) chore;

        spool->busy = false;
        if (spool->orphaned) {
                (void) destroy(spool);
                return;
        }
        if (result < 0)
                spool->error = result;
        if (spool->finished)
                write_waiting(spool);
        spool->moved(spool->data);
}

static void write_waiting(Spool *spool) {
        SpoolBuffer *buffer = spool->filling;

        if (spool->busy || spool->error < 0 || buffer->size == 0)
                return;
        spool->filling = spool->writing;
        spool->filling->size = 0;
        spool->writing = buffer;
        spool->chore = (Chore){.work = write_work, .done = write_done};
        spool->error = chores_add(spool->chores, &spool->chore);
        spool->busy = spool->error == 0;
}

size_t spool_append(Spool *spool, const void *bytes, size_t size) {
        const uint8_t *from = bytes;
        size_t taken = 0;

        while (spool->error == 0 && taken < size) {
                SpoolBuffer *buffer = spool->filling;
                size_t room = SPOOL_BUFFER_BYTES - buffer->size;
                size_t n = size - taken < room ? size - taken : room;

                memcpy(buffer->bytes + buffer->size, from + taken, n);
                buffer->size += n;
                taken += n;
                if (buffer->size < SPOOL_BUFFER_BYTES)
                        break;
                write_waiting(spool);
                /* Full, and the other one is not written yet. */
                if (n == 0 && spool->filling == buffer)
                        break;
        }
        if (spool->error < 0)
                taken = size;
        spool->size += taken;
        return taken;
}

size_t spool_room(const Spool *spool) {
        if (spool->error < 0)
                return SIZE_MAX;
        return SPOOL_BUFFER_BYTES - spool->filling->size + (spool->busy ? 0 : SPOOL_BUFFER_BYTES);
}

void spool_finish(Spool *spool) {
        spool->finished = true;
        write_waiting(spool);
}

bool spool_is_idle(const Spool *spool) {
        return !spool->busy && (spool->error < 0 || spool->filling->size == 0);
}

int spool_error(const Spool *spool) {
        return spool->error;
}

uint64_t spool_size(const Spool *spool) {
        return spool->size;
}

int spool_take_fd(Spool *spool) {
        assert(!spool->busy);
        return take_fd(spool->fd);
}
