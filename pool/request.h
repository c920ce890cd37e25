#pragma once
/* request: a run's request as the frames that its worker reads. */

#include "pool/run.h"

/* The longest message; a request that does not fit is refused. */
#define REQUEST_MESSAGE_MAX (192U << 20)

/* Beyond a run's memory limit, which the supervisor watches, the address space has this much room:
 * libraries reserve more than they use. It turns an absurd allocation into a MemoryError. */
#define ADDRESS_SPACE_SLACK (1536ULL << 20)

/* Appends the frames. Returns as buffer_append(). */
_must_check_ int request_encode(const RunRequest *request, uint64_t value_bytes_max, Buffer *out);
