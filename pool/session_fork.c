/* session_fork: a copy of a live session. */

#include "pool/internal.h"

int session_fork(Session *source, const SessionOptions *options, const ForkCallback *callback) {
        return SESSION_E_UNFORKABLE;
}
