#pragma once
/* interpreter_session: a session as the code interpreter's clients know it: made when it is first
 * needed, its files seen at /tmp/<session_id>, with a list of the packages that were asked for. */

#include <h2o.h>

#include "pool/session.h"
#include "server/app.h"

/* Finds it or makes it; the id has been checked (session_id_problem()). Returns as
 * session_create(). */
_must_check_ int interpreter_obtain(const App *app, Slice session_id, Session **ret_session);

/* Where the snippet sees a file of that name: "/tmp/<session_id>/<name>", or the true path where no
 * mount namespace can make that one. Appends. */
_must_check_ int interpreter_location(const App *app, const Session *session, Slice name,
                                      Buffer *out);

/* Adds names to those that were asked for in this session; they are kept beside its files and end
 * with it. Appends all of them to ret_names as a JSON array, in the order of their first mention. 0
 * or -errno. */
_must_check_ int interpreter_add_packages(const Session *session, const Slice *names, size_t n,
                                          Buffer *ret_names);
