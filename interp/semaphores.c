/*
 * Locks of multiprocessing where there is no /dev/shm.
 *
 * Python makes each with sem_open(3), takes its name away at once, and uses it in itself and in its
 * children; so does ThreadPool, which has no children at all. glibc keeps them as files in /dev/shm
 * (2.36, sysdeps/pthread/sem_open.c), and without a mount namespace that is the host's, where
 * Landlock lets nobody make a file. Such a semaphore needs no name: one in shared memory is the
 * same to a process and to those forked from it.
 *
 * The program exports these names, and the dynamic linker finds them before those of libc. They
 * help honest programs, and are no part of any confinement.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

typedef sem_t *Open(const char *name, int flags, ...);
typedef int Close(sem_t *semaphore);
typedef int Unlink(const char *name);

/* One has a mapping of its own. The mark tells it from what is none of ours. */
typedef struct Unnamed {
        sem_t semaphore;
        uint64_t mark;
} Unnamed;

static const uint64_t our_mark = 0x756e6e616d656421;

/* What the one made last would have been called, until that is taken away. */
static _Thread_local char name_made[64];

static sem_t *open_unnamed(const char *name, unsigned value) {
        Unnamed *unnamed;

        if (strlen(name) >= sizeof(name_made)) {
                errno = ENAMETOOLONG;
                return SEM_FAILED;
        }
        unnamed = mmap(NULL, sizeof(*unnamed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0);
        if (unnamed == MAP_FAILED)
                return SEM_FAILED;
        if (sem_init(&unnamed->semaphore, 1, value) < 0) {
                (void) munmap(unnamed, sizeof(*unnamed));
                return SEM_FAILED;
        }
        unnamed->mark = our_mark;
        strcpy(name_made, name);
        return &unnamed->semaphore;
}

sem_t *sem_open(const char *name, int flags, ...) {
        Open *real = (Open *) dlsym(RTLD_NEXT, "sem_open");
        mode_t mode = 0;
        unsigned value = 0;
        sem_t *semaphore;

        if (flags & O_CREAT) {
                va_list more;

                va_start(more, flags);
                mode = va_arg(more, mode_t);
                value = va_arg(more, unsigned);
                va_end(more);
        }
        semaphore = real(name, flags, mode, value);
        /* Only one that must be new: another would have to be found by others. */
        if (semaphore != SEM_FAILED || errno != EACCES || !(flags & O_CREAT) || !(flags & O_EXCL))
                return semaphore;
        return open_unnamed(name, value);
}

int sem_unlink(const char *name) {
        Unlink *real = (Unlink *) dlsym(RTLD_NEXT, "sem_unlink");

        if (name_made[0] == 0 || strcmp(name, name_made) != 0)
                return real(name);
        name_made[0] = 0;
        return 0;
}

int sem_close(sem_t *semaphore) {
        Close *real = (Close *) dlsym(RTLD_NEXT, "sem_close");
        Unnamed *unnamed = (Unnamed *) semaphore;

        /* It knows all that have names. */
        if (real(semaphore) == 0)
                return 0;
        if (errno != EINVAL || (uintptr_t) unnamed % 4096 != 0 || unnamed->mark != our_mark)
                return -1;
        return munmap(unnamed, sizeof(*unnamed));
}
