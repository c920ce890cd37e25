#pragma once
/*
 * interrupts: SIGINT in a worker of a session. An interrupt is for the run that is under way when
 * it is sent, but it may be sent while that run is ending, and nothing tells the sender. So there
 * are three times:
 *
 *     between runs                   it is dropped: the kernel drops what is ignored
 *     while a request is taken in    it is noted. The supervisor sends none before the request has
 *                                    left its pipe, so this one is for the run that begins
 *     in the run's own code          it does what the code says; a KeyboardInterrupt by default
 *
 * In workers of one run all of this does nothing: they are killed instead.
 */

/* Between runs. What the code has made of SIGINT is kept for the next one. Handlers of other
 * signals whose turn has come run here; what they raise is dropped. Needs the GIL, and no exception
 * set. */
void interrupts_ignore(void);

/* When a request has begun to arrive, and before a byte of it is read. */
void interrupts_note(void);

/* Right before the run's code. */
void interrupts_deliver(void);
