#pragma once
/* file_store_internal: what the files of file_store.h share. */

#include "server/file_path.h"
#include "server/file_store.h"

#define FILE_HIDDEN_MAX 48

/* A name, of FILE_HIDDEN_MAX, that nobody has: for what is on its way in, and for a moment beside
 * the file that it replaces; or on its way out. */
void file_hidden_name(char *ret_name);

typedef struct FileWay {
        int fd; /* of the folder that the last component is in */
        char name[FILE_NAME_MAX + 1];
} FileWay;

/* Opens the folders before the last component; makes them with make. -ENOENT, -ENOTDIR, -ELOOP. */
_must_check_ int file_walk(int workspace_fd, const char *path, bool make, uid_t uid,
                           FileWay *ret_way);
