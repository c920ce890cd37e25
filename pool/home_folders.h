#pragma once
/* home_folders: what the files of home_* and homes_* share. */

#include "pool/home.h"

/* Of a new home, or of something in the trash. */
void home_random_name(char ret_name[HOME_NAME_SIZE]);

/* Moves something to the trash, if it is there. */
_must_check_ int home_discard(Homes *homes, int parent_fd, const char *name);

/* False: it is taken already, or there is no such index. */
bool home_take_index(Homes *homes, unsigned index);
/* Takes one that is free; -EUSERS, not raised. */
_must_check_ int home_next_index(Homes *homes, unsigned *ret_index);

/* "12.session" → 12; false for anything else. */
bool home_parse_record(const char *name, unsigned *ret_member);
