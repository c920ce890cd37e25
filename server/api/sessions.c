/* sessions: POST and GET /v1/sessions, GET and DELETE /v1/sessions/{id}. */

#include "server/api/api.h"
#include "server/api/facts.h"
#include "server/api/session_exchange.h"
#include "server/api/session_object.h"
#include "server/form.h"
#include "server/options.h"

#define LIST_STANDARD 100U
#define LIST_MAX      1000U

/* ── Making one ── */

typedef struct CreateRequest {
        Reader reader;
        const App *app;
        SessionOptions options;
        JsonItem template, limits; /* value.size is 0 when absent */
} CreateRequest;

static bool read_id(Reader *reader, void *target, const JsonItem *item) {
        return session_object_read_id(reader, item, &((CreateRequest *) target)->options);
}

static bool read_template(Reader *reader, void *target, const JsonItem *item) {
        ((CreateRequest *) target)->template = *item;
        return true;
}

static bool read_limits(Reader *reader, void *target, const JsonItem *item) {
        ((CreateRequest *) target)->limits = *item;
        return reader_expect(reader, item, JSON_OBJECT, "limits");
}

static bool read_idle(Reader *reader, void *target, const JsonItem *item) {
        return session_object_read_idle(reader, item, &((CreateRequest *) target)->options);
}

static bool read_cpu(Reader *reader, void *target, const JsonItem *item) {
        CreateRequest *request = target;

        return session_object_read_cpu(reader, item, request->app->options->sessions.life_cpu_ms,
                                       &request->options);
}

static bool read_forget(Reader *reader, void *target, const JsonItem *item) {
        ((CreateRequest *) target)->options.forgets = item->kind == JSON_TRUE;
        if (item->kind == JSON_TRUE || item->kind == JSON_FALSE)
                return true;
        return reader_fail(reader, 422, "forget", "This must be true or false.");
}

static const Member create_members[] = {
        {"id", read_id},        {"template", read_template}, {"limits", read_limits},
        {"idle_ms", read_idle}, {"cpu_ms", read_cpu},        {"forget", read_forget},
};

/* The limits of a template as its sessions have them: a workspace lives longer than a run. */
static TemplateConfig session_template(const Options *options, unsigned index) {
        TemplateConfig template = options->templates[index];
        uint64_t disk_mb = options->sessions.disk_mb;

        template.limits.standard[LIMIT_DISK_MB] = disk_mb;
        if (template.limits.maximum[LIMIT_DISK_MB] < disk_mb)
                template.limits.maximum[LIMIT_DISK_MB] = disk_mb;
        return template;
}

static bool decode_create(CreateRequest *request, const App *app, Slice body) {
        DecodeContext context = decode_context(app);
        SessionOptions *options = &request->options;
        TemplateConfig template;

        *request = (CreateRequest){
                .app = app,
                .options = session_standard_options(app, SESSION_NATIVE, SLICE_NULL),
        };
        if (body.size == 0)
                body = SLICE_LITERAL("{}");
        if (!reader_start(&request->reader, body) ||
            !reader_object(&request->reader, body, create_members, N_ELEMENTS(create_members),
                           false, request) ||
            !decode_template(&request->reader, &context, &request->template, &options->template))
                return false;
        template = session_template(app->options, options->template);
        options->limits = limit_policy_defaults(&template.limits);
        return request->limits.value.size == 0 ||
               decode_limits(&request->reader, &template, request->limits.value, &options->limits);
}

static void create_done(CreateRequest *request) {
        reader_done(&request->reader);
}

void handle_sessions_create(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(create_done) CreateRequest request = {0};
        Session *session;
        int r;

        if (!sessions_are_served(app, req, match->errors))
                return;
        if (!decode_create(&request, app, request_body(req))) {
                respond_reader_error(req, match->errors, &request.reader.error);
                return;
        }
        r = session_create(app->pool, &request.options, &session);
        if (r == POOL_OK)
                session_object_respond(req, 201, session);
        else
                respond_session_problem(app, req, match->errors, r);
}

/* ── Looking at them ── */

void handle_session_get(App *app, h2o_req_t *req, const RouteMatch *match) {
        const Session *session = session_of_path(app, req, match);

        if (session)
                session_object_respond(req, 200, session);
}

typedef struct Page {
        const Session *after; /* NULL: from the first one on */
        unsigned size;
} Page;

static bool read_page_size(Slice text, unsigned *ret_size) {
        unsigned size = 0;

        if (text.size == 0 || text.size > 4)
                return false;
        for (size_t i = 0; i < text.size; i++) {
                if (text.data[i] < '0' || text.data[i] > '9')
                        return false;
                size = size * 10 + (text.data[i] - '0');
        }
        *ret_size = size;
        return size >= 1 && size <= LIST_MAX;
}

static bool read_page(const App *app, h2o_req_t *req, const RouteMatch *match, Page *ret_page) {
        Slice text;

        *ret_page = (Page){.size = LIST_STANDARD};
        if (query_find(req, "limit", &text) != 0 && !read_page_size(text, &ret_page->size)) {
                respond_error(req, match->errors, (ErrorAnswer){.status = 422, .field = "limit"},
                              "This must be a whole number from 1 to %u.", LIST_MAX);
                return false;
        }
        if (query_find(req, "after", &text) == 0)
                return true;
        ret_page->after = session_find(app->pool, SESSION_NATIVE, text);
        if (ret_page->after)
                return true;
        respond_error(req, match->errors, (ErrorAnswer){.status = 422, .field = "after"},
                      "There is no session of this id any more; begin with the first page.");
        return false;
}

static void write_page(JsonWriter *writer, const App *app, const Page *page) {
        const Session *session = session_next(app->pool, SESSION_NATIVE, page->after);
        const Session *last = NULL;
        SessionInfo info;

        json_begin_object(writer);
        json_key(writer, "sessions");
        json_begin_array(writer);
        for (unsigned i = 0; session && i < page->size; i++) {
                json_begin_object(writer);
                session_object_write(writer, session);
                json_end_object(writer);
                last = session;
                session = session_next(app->pool, SESSION_NATIVE, session);
        }
        json_end_array(writer);
        json_key(writer, "next");
        if (session && last) {
                session_inspect(last, &info);
                json_literal(writer, info.id);
        } else {
                json_null(writer);
        }
        json_end_object(writer);
}

void handle_sessions_list(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        Page page;

        if (!sessions_are_served(app, req, match->errors) || !read_page(app, req, match, &page))
                return;
        write_page(&writer, app, &page);
        facts_respond(req, match, 200, &writer, &body);
}

/* ── Ending one ── */

void handle_session_delete(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);

        if (!session)
                return;
        session_end(session);
        respond_nothing(req);
}
