#pragma once
/* cleanup: values that free themselves when they go out of scope, and the hand-over of their
 * ownership. */

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_  __attribute__((warn_unused_result))

static inline void kit_free_pointer(void *pointer) {
        free(*(void **) pointer);
}

static inline void kit_close_fd(int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

#define _autofree_  _cleanup_(kit_free_pointer)
#define _autoclose_ _cleanup_(kit_close_fd)

/* Hands ownership to the caller and disarms the local cleanup. */
#define take_ptr(p)                                                                                \
        ({                                                                                         \
                __typeof__(p) taken_ = (p);                                                        \
                (p) = NULL;                                                                        \
                taken_;                                                                            \
        })

#define take_fd(fd)                                                                                \
        ({                                                                                         \
                int taken_fd_ = (fd);                                                              \
                (fd) = -1;                                                                         \
                taken_fd_;                                                                         \
        })

/* Closes a descriptor that may be unset (-1) and marks it unset. */
static inline void close_fd(int *fd) {
        kit_close_fd(fd);
        *fd = -1;
}

/* For a type whose free function takes NULL and returns NULL: makes `_cleanup_(x_freep)` usable. */
#define DEFINE_CLEANUP(type, free_fn)                                                              \
        static inline void free_fn##p(type **object) {                                             \
                *object = free_fn(*object);                                                        \
        }

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
