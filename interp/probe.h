#pragma once
/*
 * probe: a worker tries to break out (wire/probe.h), by the very calls that an attacker would make,
 * and tells what the kernel answered. No Python, and no judgement: what must fail is known to
 * pool/proof.c. What an attempt that worked has changed is put back.
 */

#include <stdbool.h>
#include <stddef.h>

#include "wire/probe.h"

/* Copies the body of a REQUEST_PROBE. Returns false when it is none. */
bool probe_decode(const void *body, size_t size, ProbeRequest *ret_request);

/* Makes the attempts that are asked for, in the order of the list. */
void probe_run(const ProbeRequest *request, ProbeAnswer *ret_answer);

/* Makes one attempt, which ends the process when the system call filter forbids it. */
void probe_forbidden(const ProbeRequest *request);
