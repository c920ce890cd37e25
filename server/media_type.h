#pragma once
/* media_type: what a file is, by its name. */

#include "kit/bytes.h"

/* Never NULL: "application/octet-stream" when nothing better is known. */
const char *media_type(Slice path);
