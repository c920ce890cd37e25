#pragma once
/* listen: sockets that accept connections, from the text of an option. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit/cleanup.h"

#define LISTENERS_MAX 16

typedef struct Listener {
        char *address;   /* as it was given */
        char *unix_path; /* to be removed at the end, or NULL */
        int fd;          /* listens; -1 once closed */
} Listener;

typedef struct ListenerSet {
        Listener of[LISTENERS_MAX];
        size_t n;
} ListenerSet;

/* Opens every address of a list like "127.0.0.1:8000,[::1]:8000,unix:/run/hatchery.sock". On
 * failure nothing stays open, one line on standard error has said what is wrong, and -errno is
 * returned. The path of a unix socket that nobody answers on is taken over. */
_must_check_ int listener_set_open(const char *addresses, ListenerSet *ret_set);

/* The TCP port at which 127.0.0.1 reaches it, or 0. */
uint16_t listener_loopback_port(const Listener *listener);

/* Closes what is open, and removes the paths of unix sockets. */
void listener_set_close(ListenerSet *set);
