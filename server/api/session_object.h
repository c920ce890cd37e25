#pragma once
/* session_object: a session as the native API shows it, and is asked for one. */

#include "jsontext/write.h"
#include "pool/session.h"
#include "server/api/reader.h"
#include "server/route.h"

/* Its members, into an object that has been begun. */
void session_object_write(JsonWriter *writer, const Session *session);

/* Answers with the object of one session; a 201 has its Location. */
void session_object_respond(h2o_req_t *req, int status, const Session *session);
/* Likewise, a 201, with what a copy lacks. */
void session_object_respond_copy(h2o_req_t *req, const Session *session, const ForkNotes *notes);

/* Members that a new session and a copy have in common. */
bool session_object_read_id(Reader *reader, const JsonItem *item, SessionOptions *options);
bool session_object_read_idle(Reader *reader, const JsonItem *item, SessionOptions *options);
/* most_ms: as the operator allows; 0: any, and none. */
bool session_object_read_cpu(Reader *reader, const JsonItem *item, uint64_t most_ms,
                             SessionOptions *options);
