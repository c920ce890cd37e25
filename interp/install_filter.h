#pragma once
/*
 * install_filter: the system calls that the process for packages is refused. Unlike a worker it has
 * honest work with files and sockets of which no complete list is kept: it runs no foreign code, so
 * this is a second line, behind its user, Landlock and the lack of rights, for the day that a
 * parser of archives fails.
 */

#include "kit/cleanup.h"

/* For this process, for ever: no new program, no new process (threads go on), no way to another
 * process, no sockets but TCP, UDP and what names of hosts are found with, and nothing that only an
 * attack makes. Takes no_new_privs. Returns 0 or -errno. */
_must_check_ int install_filter_take(void);
