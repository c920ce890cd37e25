#pragma once
/*
 * listing: the lines that GNU `ls -lR` prints of a folder to a pipe, in the C locale, without the
 * heading of the folder itself ("." and an empty folder: "total 0"). Nothing is run and nothing is
 * followed: folders are opened by one name each, below their parent, so that a hostile process that
 * changes them meanwhile can at worst make the listing wrong. Blocks: not for the loop's thread.
 */

#include <sys/types.h>
#include <time.h>

#include "kit/bytes.h"

#define LISTING_ENTRIES_MAX 10000
#define LISTING_DEPTH_MAX   64
#define LISTING_BYTES_MAX   (1U << 20)

/* The last line of a listing that was cut at one of these bounds. */
#define LISTING_CUT "(there is more than is listed)"

typedef struct ListingOptions {
        uid_t own_uid;        /* whose files are shown as own_name's … */
        gid_t own_gid;        /* … and of own_name's group */
        const char *own_name; /* user and group; NULL: as this machine calls them */
        struct timespec now;  /* wall clock; tells recent files, which have a time of day, from old
                                 ones, which have a year */
} ListingOptions;

/* Appends the lines, each ended by a line break; names are bytes as they are, with line breaks if
 * they hold any. Returns 0, -ENOMEM, or -errno of opening or reading the folder itself; what cannot
 * be read below it is left out, as ls does. */
_must_check_ int listing_write(int directory_fd, const ListingOptions *options, Buffer *out);
