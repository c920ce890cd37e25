#pragma once
/*
 * store: the data that clients of the code-execution-sandbox API upload by key, kept over restarts
 * in one SQLite file. Calls block for as long as a write to the page cache takes: the file is in
 * WAL mode with synchronous=NORMAL, so no commit waits for the disk, and a crash of the machine may
 * lose the last commits but never the file.
 */

#include <stddef.h>
#include <stdint.h>

#include "kit/bytes.h"
#include "kit/cleanup.h"

typedef struct Store Store;

/* What the caller must handle; any negative value is an -errno, already logged. */
enum {
        STORE_OK = 0,
        STORE_E_NOT_FOUND,
        STORE_E_TOO_MANY_KEYS,
        STORE_E_TOO_MANY_BYTES,
};

#define STORE_KEY_MAX 256

/* Opens directory/store.sqlite3, and makes what is missing of both; the folder is private (0700).
 * keys_max and bytes_max bound all entries together. A file that is damaged, foreign, or of a newer
 * version fails with a line in the log that names it. */
_must_check_ int store_open(const char *directory, unsigned keys_max, uint64_t bytes_max,
                            Store **ret_store);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free)

/* Adds or replaces. A refused entry leaves the one of that key as it was. */
_must_check_ int store_put(Store *store, Slice key, Slice value);

/* Appends the value to out, or returns STORE_E_NOT_FOUND. */
_must_check_ int store_get(Store *store, Slice key, Buffer *out);

_must_check_ int store_clear(Store *store);
