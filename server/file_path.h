#pragma once
/* file_path: what a client may call a file of a session: "a/b.csv", relative to the workspace. */

#include "kit/bytes.h"

#define FILE_PATH_MAX  1024
#define FILE_NAME_MAX  255 /* of each component */
#define FILE_DEPTH_MAX 32

/* NULL, or why it can be no name of a file, as a sentence's end: "is empty". It can
 * if it is UTF-8 without control characters, and its components are neither empty nor "." nor "..".
 */
const char *file_path_problem(Slice path);
