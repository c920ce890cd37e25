#pragma once
/* hangup_watcher: the life of the watcher, for http.c. */

#include "kit/cleanup.h"
#include "server/hangup.h"

HangupWatcher *hangup_watcher_new(h2o_loop_t *loop);
/* The list must be empty. */
HangupWatcher *hangup_watcher_free(HangupWatcher *watcher);
