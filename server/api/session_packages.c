/* session_packages: GET and POST /v1/sessions/{id}/packages. */

#include <fcntl.h>
#include <stdio.h>

#include "jsontext/write.h"
#include "pool/packages.h"
#include "server/api/api.h"
#include "server/api/install_exchange.h"
#include "server/api/reader.h"
#include "server/api/session_exchange.h"

/* ── What there is ── */

typedef struct ListChore ListChore;

/* In the request's pool; the chore outlives it. */
typedef struct ListRequest {
        h2o_req_t *req;
        ListChore *chore; /* NULL: it has answered */
} ListRequest;

struct ListChore {
        Chore chore; /* first */
        App *app;
        ListRequest *request; /* NULL: it has ended */
        int packages_fd;
        PackageList in_session, in_template;
};

static ListChore *list_chore_free(ListChore *chore) {
        if (!chore)
                return NULL;
        kit_close_fd(&chore->packages_fd);
        package_list_done(&chore->in_session);
        package_list_done(&chore->in_template);
        free(chore);
        return NULL;
}
DEFINE_CLEANUP(ListChore, list_chore_free)

static void request_dispose(void *data) {
        ListRequest *request = data;

        if (request->chore)
                request->chore->request = NULL;
}

static void write_packages(JsonWriter *writer, const char *key, const PackageList *list) {
        json_key(writer, key);
        json_begin_array(writer);
        for (size_t i = 0; i < list->n; i++) {
                json_begin_object(writer);
                json_key(writer, "name");
                json_literal(writer, list->of[i].name);
                json_key(writer, "version");
                json_literal(writer, list->of[i].version);
                json_end_object(writer);
        }
        json_end_array(writer);
}

static void respond_busy(h2o_req_t *req) {
        respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 503, .retry_after_s = 1},
                      "The server is busy with the files of others; try again later.");
}

static void respond_document(h2o_req_t *req, const JsonWriter *writer, Buffer *body) {
        if (writer->error < 0)
                respond_busy(req);
        else
                respond_json(req, 200, body);
}

static void list_done(Chore *done, int r) {
        _cleanup_(list_chore_freep) ListChore *chore = (ListChore *) done;
        _cleanup_(buffer_done) Buffer body = {0};
        JsonWriter writer = JSON_WRITER(&body);
        h2o_req_t *req;

        if (!chore->request)
                return;
        chore->request->chore = NULL;
        if (chore->app->is_closed)
                return;
        req = chore->request->req;
        if (r < 0) {
                respond_busy(req);
                return;
        }
        json_begin_object(&writer);
        write_packages(&writer, "packages", &chore->in_session);
        write_packages(&writer, "template", &chore->in_template);
        json_end_object(&writer);
        respond_document(req, &writer, &body);
}

static int list_work(Chore *work) {
        ListChore *chore = (ListChore *) work;

        return package_list_read(chore->packages_fd, &chore->in_session);
}

static ListChore *list_chore_new(App *app, const Session *session) {
        _cleanup_(list_chore_freep) ListChore *chore = calloc(1, sizeof(*chore));
        TemplateState state;
        SessionInfo info;

        if (!chore)
                return NULL;
        chore->app = app;
        chore->chore = (Chore){.work = list_work, .done = list_done};
        session_inspect(session, &info);
        pool_template_state(app->pool,
                            (unsigned) pool_find_template(app->pool, slice_of_text(info.template)),
                            &state);
        chore->packages_fd = fcntl(session_packages_fd(session), F_DUPFD_CLOEXEC, 3);
        if (chore->packages_fd < 0 ||
            package_list_of_template(state.about, &chore->in_template) < 0)
                return NULL;
        return take_ptr(chore);
}

void handle_session_packages_list(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        _cleanup_(list_chore_freep) ListChore *chore = NULL;
        ListRequest *request;

        if (!session)
                return;
        chore = list_chore_new(app, session);
        if (!chore || chores_add(pool_chores(app->pool), &chore->chore) < 0) {
                respond_busy(req);
                return;
        }
        request = h2o_mem_alloc_shared(&req->pool, sizeof(*request), request_dispose);
        *request = (ListRequest){.req = req, .chore = chore};
        take_ptr(chore)->request = request;
}

/* ── Installing ── */

typedef struct InstallRequest {
        Slice *packages;
        size_t n_packages;
        bool is_given;
} InstallRequest;

static bool read_packages(Reader *reader, void *target, const JsonItem *item) {
        InstallRequest *request = target;
        JsonCursor cursor;
        JsonItem element;

        if (!reader_expect(reader, item, JSON_ARRAY, "packages") ||
            !reader_count(reader, item, "packages", REQUIREMENTS_MAX, &request->n_packages))
                return false;
        request->is_given = true;
        request->packages =
                reader_allocate(reader, request->n_packages + 1, sizeof(*request->packages));
        if (!request->packages || !json_enter(item->value, &cursor))
                return false;
        for (size_t i = 0; json_next(&cursor, &element); i++) {
                if (!reader_text(reader, &element, "", &request->packages[i]))
                        return reader_inside(reader, "packages[%zu]", i);
        }
        return true;
}

static bool read_request(Reader *reader, Slice body, InstallRequest *request) {
        static const Member members[] = {{"packages", read_packages}};

        if (!reader_start(reader, body) ||
            !reader_object(reader, body, members, N_ELEMENTS(members), false, request))
                return false;
        if (!request->is_given || request->n_packages == 0)
                return reader_fail(reader, 422, "packages",
                                   "It must name at least one package, like \"name==1.0\".");
        return true;
}

static void write_installed(JsonWriter *writer, const char *key, const InstallResult *result,
                            bool already) {
        json_key(writer, key);
        json_begin_array(writer);
        for (size_t i = 0; i < result->n_packages; i++) {
                const InstalledPackage *package = &result->packages[i];

                if (package->already != already)
                        continue;
                json_begin_object(writer);
                json_key(writer, "name");
                json_literal(writer, package->name);
                json_key(writer, "version");
                json_literal(writer, package->version);
                if (!already) {
                        json_key(writer, "from_cache");
                        json_boolean(writer, package->from_cache);
                }
                json_end_object(writer);
        }
        json_end_array(writer);
}

static void send_answer(InstallExchange *exchange, const InstallResult *result) {
        _cleanup_(buffer_done) Buffer body = {0};
        JsonWriter writer = JSON_WRITER(&body);

        if (result->outcome != INSTALL_DONE) {
                respond_error(exchange->req, exchange->errors,
                              install_error_answer(exchange, result->outcome), "%s", result->why);
                return;
        }
        json_begin_object(&writer);
        write_installed(&writer, "installed", result, false);
        write_installed(&writer, "already", result, true);
        json_key(&writer, "log");
        json_text(&writer, result->log);
        json_end_object(&writer);
        respond_document(exchange->req, &writer, &body);
}

void handle_session_packages_install(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        InstallRequest request = {0};
        Reader reader = {0};

        if (!session)
                return;
        if (read_request(&reader, request_body(req), &request))
                install_exchange_start(install_exchange_new(app, req, match, send_answer), session,
                                       request.packages, request.n_packages);
        else
                respond_reader_error(req, match->errors, &reader.error);
        free(request.packages);
        reader_done(&reader);
}
