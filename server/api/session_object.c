#include "server/api/session_object.h"

#include <stdio.h>

#include "kit/clock.h"
#include "server/api/facts.h"
#include "server/options.h"
#include "server/respond.h"
#include "server/time_text.h"

#define MS_MAX (365ULL * 86400 * 1000)

static void write_text(JsonWriter *writer, const char *name, const char *text) {
        json_key(writer, name);
        if (text)
                json_literal(writer, text);
        else
                json_null(writer);
}

static void write_limits(JsonWriter *writer, const RunLimits *limits) {
        json_key(writer, "limits");
        json_begin_object(writer);
        for (unsigned limit = 0; limit < _LIMITS; limit++)
                facts_write_number(writer, limit_infos[limit].name, limits->of[limit]);
        json_end_object(writer);
}

void session_object_write(JsonWriter *writer, const Session *session) {
        SessionUsage usage = session_usage(session);
        SessionInfo info;
        char created[TIME_TEXT_SIZE];

        session_inspect(session, &info);
        time_text_seconds((int64_t) info.created_s, created);
        write_text(writer, "id", info.id);
        write_text(writer, "state", session_state_name(info.state));
        write_text(writer, "template", info.template);
        write_text(writer, "created", created);
        facts_write_number(writer, "idle_ms", info.idle_ms);
        if (info.expires_ms == UINT64_MAX)
                write_text(writer, "expires_in_ms", NULL);
        else
                facts_write_number(writer, "expires_in_ms", info.expires_ms);
        facts_write_number(writer, "runs", info.runs);
        facts_write_number(writer, "queued", info.queued);
        facts_write_number(writer, "memory_kb", usage.memory_bytes / 1024);
        json_key(writer, "cpu_ms");
        json_decimal(writer, (double) usage.cpu_ns / (double) NS_PER_MS, 3);
        facts_write_number(writer, "disk_bytes", info.disk_bytes);
        write_text(writer, "lost", info.lost);
        write_text(writer, "forked_from", info.forked_from);
        write_limits(writer, &info.limits);
        write_text(writer, "workspace", session_workspace_path(session));
}

/* All but the unreserved characters of RFC 3986, 2.3, so that nobody has to think what they may
 * mean. */
static char *location_of(h2o_req_t *req, const char *id) {
        static const char before[] = "/v1/sessions/";
        char *location = h2o_mem_alloc_pool(&req->pool, sizeof(before) + 3 * strlen(id));
        char *at = stpcpy(location, before);

        for (; *id != '\0'; id++) {
                uint8_t c = (uint8_t) *id;

                if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                    strchr("-._~", c))
                        *at++ = (char) c;
                else
                        at += sprintf(at, "%%%02X", c);
        }
        *at = '\0';
        return location;
}

static void add_location(h2o_req_t *req, const Session *session) {
        SessionInfo info;
        const char *location;

        session_inspect(session, &info);
        location = location_of(req, info.id);
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_LOCATION, NULL, location,
                       strlen(location));
}

static void write_notes(JsonWriter *writer, const ForkNotes *notes) {
        json_key(writer, "not_copied");
        json_begin_object(writer);
        facts_write_number(writer, "threads", notes->threads);
        facts_write_number(writer, "sockets", notes->sockets);
        facts_write_number(writer, "open_files", notes->open_files);
        json_end_object(writer);
}

static void respond(h2o_req_t *req, int status, const Session *session, const ForkNotes *notes) {
        static const RouteMatch match = {.errors = ERRORS_PROBLEM};
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        session_object_write(&writer, session);
        if (notes)
                write_notes(&writer, notes);
        json_end_object(&writer);
        if (status == 201)
                add_location(req, session);
        facts_respond(req, &match, status, &writer, &body);
}

void session_object_respond(h2o_req_t *req, int status, const Session *session) {
        respond(req, status, session, NULL);
}

void session_object_respond_copy(h2o_req_t *req, const Session *session, const ForkNotes *notes) {
        respond(req, 201, session, notes);
}

bool session_object_read_id(Reader *reader, const JsonItem *item, SessionOptions *options) {
        const char *problem;

        if (!reader_text(reader, item, "id", &options->id))
                return false;
        problem = session_id_problem(options->id);
        return !problem || reader_fail(reader, 422, "id", "The id %s.", problem);
}

bool session_object_read_idle(Reader *reader, const JsonItem *item, SessionOptions *options) {
        return reader_whole_number(reader, item, "idle_ms", 0, MS_MAX, &options->idle_ms);
}

/* 0 is no limit, and then more than any. */
bool session_object_read_cpu(Reader *reader, const JsonItem *item, uint64_t most_ms,
                             SessionOptions *options) {
        return reader_whole_number(reader, item, "cpu_ms", most_ms > 0 ? 1 : 0,
                                   most_ms > 0 ? most_ms : MS_MAX, &options->life_cpu_ms);
}
