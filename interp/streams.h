#pragma once
/*
 * streams: how much the run has written to its standard output and error, and in which order. What
 * is shown (display(), figures) travels in another pipe; by these counts the reader of all three
 * finds its place among what is printed.
 *
 * Counted is what goes through write(2) as the dynamic linker finds it: Python's streams and files,
 * os.write(), most libraries. What stdio holds back, or a child writes, has no place.
 */

#include "kit/bytes.h"
#include "wire/run.h"

/* A run begins: everything is counted from here. */
void streams_begin(void);

/* What has been written since. */
StreamPlace streams_place(void);

/* Where the one stream ended its turn and the other began, as an array of StreamPlace; empty
 * when only one has been written to. */
Slice streams_switches(void);
