#include "server/api/install_exchange.h"

#include <assert.h>
#include <stdio.h>

#include "jsontext/utf8.h"

#define SHOWN_MAX 100

static void exchange_dispose(void *data) {
        InstallExchange *exchange = data;

        hangup_unwatch(exchange->app->hangups, &exchange->hangup);
        if (exchange->install)
                install_cancel(take_ptr(exchange->install));
}

static void on_gone(void *data) {
        InstallExchange *exchange = data;

        install_cancel(take_ptr(exchange->install));
        exchange->req->http1_is_persistent = 0;
        respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 499},
                      "The client closed its side of the connection before the packages were "
                      "installed.");
}

InstallExchange *install_exchange_new(App *app, h2o_req_t *req, const RouteMatch *match,
                                      void (*answer)(InstallExchange *exchange,
                                                     const InstallResult *result)) {
        InstallExchange *exchange =
                h2o_mem_alloc_shared(&req->pool, sizeof(*exchange), exchange_dispose);

        *exchange = (InstallExchange){
                .app = app, .req = req, .errors = match->errors, .answer = answer};
        return exchange;
}

static void on_done(void *data, const InstallResult *result) {
        InstallExchange *exchange = data;

        exchange->install = NULL;
        hangup_unwatch(exchange->app->hangups, &exchange->hangup);
        exchange->answer(exchange, result);
}

static ErrorAnswer problem_of(const InstallExchange *exchange, int r, const InstallProblem *problem,
                              Slice requirement, char *field, char *text, size_t size) {
        int shown = (int) utf8_valid_prefix(slice_of(
                requirement.data, requirement.size < SHOWN_MAX ? requirement.size : SHOWN_MAX));
        unsigned later_s = pool_retry_after_s(exchange->app->pool);

        switch (r) {
        case INSTALL_E_REQUIREMENT:
                (void) sprintf(field, "packages[%zu]", problem->index);
                (void) snprintf(text, size, "The requirement \"%.*s\" %s.", shown,
                                (const char *) requirement.data, problem->why);
                return (ErrorAnswer){.status = 422, .field = field};
        case INSTALL_E_QUEUE_FULL:
                (void) snprintf(text, size,
                                "Too many installations wait already; try again later.");
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        case INSTALL_E_NO_DISK:
                (void) snprintf(text, size,
                                "The server's disk is nearly full; nothing is installed. Try again "
                                "later.");
                return (ErrorAnswer){.status = 507, .retry_after_s = DISK_RETRY_S};
        case INSTALL_E_SWITCHED_OFF:
                (void) snprintf(text, size,
                                "Nothing can be installed on this server, but what its "
                                "interpreter has already.");
                return (ErrorAnswer){.status = 403};
        default:
                (void) snprintf(text, size,
                                "The server could not begin the installation, through a failure "
                                "of its own; try again later.");
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        }
}

static void refuse(InstallExchange *exchange, int r, const InstallProblem *problem,
                   Slice requirement) {
        char field[40], text[384];
        ErrorAnswer answer =
                problem_of(exchange, r, problem, requirement, field, text, sizeof(text));

        if (exchange->refuse)
                exchange->refuse(exchange, answer, text);
        else
                respond_error(exchange->req, exchange->errors, answer, "%s", text);
}

void install_exchange_start(InstallExchange *exchange, Session *session, const Slice *requirements,
                            size_t n_requirements) {
        const InstallCallback callback = {.done = on_done, .data = exchange};
        InstallProblem problem;
        int r = install_start(exchange->app->installer, session, requirements, n_requirements,
                              &callback, &exchange->install, &problem);

        if (r != POOL_OK)
                refuse(exchange, r, &problem,
                       r == INSTALL_E_REQUIREMENT ? requirements[problem.index] : SLICE_NULL);
        else
                hangup_watch(exchange->app->hangups, exchange->req, &exchange->hangup, on_gone,
                             exchange);
}

static int status_of(InstallOutcome outcome) {
        switch (outcome) {
        case INSTALL_NOT_FOUND:
        case INSTALL_CONFLICT:
        case INSTALL_BAD_WHEEL:
                return 422;
        case INSTALL_TOO_LARGE:
                return 413;
        case INSTALL_NO_INDEX:
                return 502;
        case INSTALL_TIMEOUT:
                return 504;
        case INSTALL_NO_SPACE:
                return 507;
        case INSTALL_ENDED:
                return 404;
        case INSTALL_UNAVAILABLE:
                return 503;
        case INSTALL_DONE:
        case _INSTALL_OUTCOMES:
                break;
        }
        assert(!"no error");
        return 500;
}

ErrorAnswer install_error_answer(const InstallExchange *exchange, InstallOutcome outcome) {
        ErrorAnswer answer = {.status = status_of(outcome)};

        if (answer.status == 413 || answer.status == 422)
                answer.field = "packages";
        if (answer.status == 503)
                answer.retry_after_s = pool_retry_after_s(exchange->app->pool);
        return answer;
}
