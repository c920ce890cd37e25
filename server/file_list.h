#pragma once
/* file_list: what is in the workspace of a session, as JSON. */

#include <stdbool.h>
#include <sys/stat.h>

#include "jsontext/write.h"

#define FILE_LIST_ENTRIES_MAX 10000
#define FILE_LIST_BYTES_MAX   (8U << 20)
#define FILE_LIST_DEPTH_MAX   32

/* Appends {"files":[…],"truncated":…}: what is below folder_fd, folder by folder, in the order of
 * their names. prefix: of the paths, "" or "data/". A name that is not UTF-8 has U+FFFD in it. May
 * take long. -ENOMEM, or what reading the folder fails with. */
_must_check_ int file_list(int folder_fd, const char *prefix, Buffer *out);

/* {"path":…,"type":"file"|"folder"|"link"|"other","size":…,"modified":…} */
void file_list_write_entry(JsonWriter *writer, Slice path, const struct stat *status);
