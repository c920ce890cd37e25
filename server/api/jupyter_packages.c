/* jupyter_packages: POST /install_package of the Jupyter-like sessions: installs, then imports in
 * the kernel what has been installed. */

#include <stdio.h>

#include "jsontext/write.h"
#include "server/api/api.h"
#include "server/api/install_exchange.h"
#include "server/api/jupyter_answer.h"
#include "server/api/plain_text.h"
#include "server/api/session_exchange.h"
#include "server/api/validation.h"

/* The name of a distribution is often not that of its module. One of that name (with "_" for "-")
 * is imported if there is one; else all modules that the distribution brings at its top. Leaves
 * nothing in the namespace but them. */
static const char import_code[] =
        "exec('''\n"
        "import importlib, re\n"
        "from importlib import metadata, util\n"
        "importlib.invalidate_caches()\n"
        "def normal(name):\n"
        "    return re.sub(r\"[-_.]+\", \"-\", name).lower()\n"
        "def exists(name):\n"
        "    try:\n"
        "        return util.find_spec(name) is not None\n"
        "    except (ImportError, ValueError):\n"
        "        return False\n"
        "def modules(name):\n"
        "    for guess in (name, name.replace(\"-\", \"_\")):\n"
        "        if guess.isidentifier() and exists(guess):\n"
        "            return [guess]\n"
        "    for found in metadata.distributions():\n"
        "        if normal(found.metadata[\"Name\"] or \"\") == normal(name):\n"
        "            tops = (found.read_text(\"top_level.txt\") or \"\").split() or sorted(\n"
        "                {path.parts[0].partition(\".\")[0] for path in found.files or ()})\n"
        "            return [top for top in tops\n"
        "                    if top.isidentifier() and top[0] != \"_\" and exists(top)]\n"
        "    return []\n"
        "for name in modules(wanted):\n"
        "    into[name] = importlib.import_module(name)\n"
        "''', {'into': globals(), 'wanted': '%s'})\n";

#define IMPORT_CODE_MAX (sizeof(import_code) + REQUIREMENT_NAME_MAX)

typedef struct PackageRequest {
        Slice user_id, package_name;
        bool has_user_id, has_package_name;
} PackageRequest;

/* In the request's pool. */
typedef struct Installation {
        RouteMatch match;
        char user_id[SESSION_ID_MAX + 1];
        h2o_iovec_t package_name; /* as it was asked for */
        h2o_iovec_t log;
} Installation;

static bool read_user_id(Reader *reader, void *target, const JsonItem *item) {
        PackageRequest *request = target;

        request->has_user_id = true;
        return reader_text(reader, item, "user_id", &request->user_id);
}

static bool read_package_name(Reader *reader, void *target, const JsonItem *item) {
        PackageRequest *request = target;

        request->has_package_name = true;
        return reader_text(reader, item, "package_name", &request->package_name);
}

static const FieldType types[] = {
        {"user_id", "type_error.str"},
        {"package_name", "type_error.str"},
};

static bool read_body(h2o_req_t *req, Reader *reader, PackageRequest *request) {
        static const Member members[] = {
                {"user_id", read_user_id},
                {"package_name", read_package_name},
        };

        if (!reader_start(reader, request_body(req)) ||
            !reader_object(reader, request_body(req), members, N_ELEMENTS(members), true,
                           request)) {
                respond_unread(req, &reader->error, types, N_ELEMENTS(types));
                return false;
        }
        if (!request->has_user_id || !request->has_package_name) {
                respond_missing(req, FIELD_IN_BODY,
                                request->has_user_id ? "package_name" : "user_id");
                return false;
        }
        return jupyter_check_id(req, request->user_id);
}

/* ── The import ── */

static int write_success(const Installation *installation, Buffer *body) {
        _cleanup_(buffer_done) Buffer message = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(body);
        int r = buffer_append(&message, "Successfully installed and imported ", 36);

        if (r == 0)
                r = buffer_append(&message, installation->package_name.base,
                                  installation->package_name.len);
        json_begin_object(&writer);
        json_key(&writer, "message");
        json_text(&writer, buffer_slice(&message));
        json_key(&writer, "output");
        json_text(&writer, slice_of(installation->log.base, installation->log.len));
        json_end_object(&writer);
        return r < 0 ? r : writer.error;
}

static void on_imported(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        int status = 200, r;

        if (plain_text_is_success(result))
                r = write_success(exchange->data, &body);
        else
                r = status = jupyter_answer(result, &body);
        if (r < 0)
                jupyter_respond_no_memory(exchange->req);
        else
                respond_json(exchange->req, status, &body);
}

static void import_installed(InstallExchange *installed, Installation *installation) {
        App *app = installed->app;
        Session *session =
                session_find(app->pool, SESSION_JUPYTER, slice_of_text(installation->user_id));
        char code[IMPORT_CODE_MAX];
        Requirement requirement;
        Exchange *exchange;
        RunRequest run;

        if (!session || requirement_parse(slice_of(installation->package_name.base,
                                                   installation->package_name.len),
                                          &requirement)) {
                jupyter_respond_not_found(installed->req);
                return;
        }
        (void) snprintf(code, sizeof(code), import_code, requirement.name);
        run = session_standard_run(app, session);
        run.code = slice_of_text(code);
        run.interrupt_first = true;
        exchange = exchange_new(app, installed->req, &installation->match, on_imported);
        exchange->data = installation;
        session_exchange_submit_unrecorded(exchange, session, &run);
}

/* ── The installation ── */

static int append_package(Buffer *out, const InstalledPackage *package) {
        char line[2 * REQUIREMENT_NAME_MAX + VERSION_SIZE_MAX];
        int size = snprintf(line, sizeof(line),
                            package->already ? "Requirement already satisfied: %s (%s)\n"
                                             : "Successfully installed %s-%s\n",
                            package->name, package->version);

        return buffer_append(out, line, (size_t) size < sizeof(line) ? (size_t) size : 0);
}

/* What pip has said, or would have said, where there was no need to ask it. */
static int write_log(const InstallResult *result, Buffer *out) {
        int r = buffer_append(out, result->log.data, result->log.size);

        for (size_t i = 0; r == 0 && result->log.size == 0 && i < result->n_packages; i++)
                r = append_package(out, &result->packages[i]);
        return r;
}

static void on_installed(InstallExchange *exchange, const InstallResult *result) {
        _cleanup_(buffer_done) Buffer log = BUFFER_INIT(0);
        Installation *installation = exchange->data;

        if (result->outcome == INSTALL_ENDED) {
                jupyter_respond_not_found(exchange->req);
        } else if (result->outcome != INSTALL_DONE) {
                respond_error(exchange->req, exchange->errors,
                              install_error_answer(exchange, result->outcome),
                              "Failed to install %.*s: %s", (int) installation->package_name.len,
                              installation->package_name.base, result->why);
        } else if (write_log(result, &log) < 0) {
                jupyter_respond_no_memory(exchange->req);
        } else {
                installation->log =
                        h2o_strdup(&exchange->req->pool, (const char *) log.data, log.size);
                import_installed(exchange, installation);
        }
}

void handle_jupyter_install(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(reader_done) Reader reader = {0};
        PackageRequest request = {0};
        Installation *installation;
        InstallExchange *exchange;
        Session *session;

        if (!read_body(req, &reader, &request))
                return;
        session = session_find(app->pool, SESSION_JUPYTER, request.user_id);
        if (!session) {
                jupyter_respond_not_found(req);
                return;
        }
        installation = h2o_mem_alloc_pool(&req->pool, sizeof(*installation));
        *installation = (Installation){
                .match = *match,
                .package_name = h2o_strdup(&req->pool, (const char *) request.package_name.data,
                                           request.package_name.size),
        };
        (void) snprintf(installation->user_id, sizeof(installation->user_id), "%.*s",
                        (int) request.user_id.size, (const char *) request.user_id.data);
        exchange = install_exchange_new(app, req, match, on_installed);
        exchange->data = installation;
        install_exchange_start(exchange, session, &request.package_name, 1);
}
