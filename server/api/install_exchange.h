#pragma once
/*
 * install_exchange: one HTTP request that waits for one installation in a session, for every API
 * that installs packages. It lives in the request's memory pool; a client that hangs up cancels the
 * installation. The answer leaves exactly once.
 *
 *     Session *session = session_find(app->pool, SESSION_JUPYTER, user);
 *     InstallExchange *exchange = install_exchange_new(app, req, match, send_answer);
 *
 *     exchange->data = …;              (what send_answer has to know; in the request's pool)
 *     install_exchange_start(exchange, session, requirements, n);
 *
 * send_answer(exchange, result) is called when the installation has ended, however it did. One that
 * could not begin (a requirement that is none: 422; too many of them: 503) has been answered in the
 * route's style, unless `refuse` is set, which then gets to say it in the API's own words.
 */

#include <h2o.h>

#include "pool/install.h"
#include "server/hangup.h"
#include "server/respond.h"
#include "server/route.h"

typedef struct InstallExchange InstallExchange;

struct InstallExchange {
        App *app;
        h2o_req_t *req;
        ErrorStyle errors;
        Install *install; /* NULL before it has begun and once it has ended */
        HangupWatch hangup;
        void (*answer)(InstallExchange *exchange, const InstallResult *result);
        /* Or NULL: says what is wrong with a request that has not begun. */
        void (*refuse)(InstallExchange *exchange, ErrorAnswer answer, const char *text);
        void *data;
};

/* In the request's pool; never NULL. */
InstallExchange *install_exchange_new(App *app, h2o_req_t *req, const RouteMatch *match,
                                      void (*answer)(InstallExchange *exchange,
                                                     const InstallResult *result));

/* Begins, or answers that it cannot. Borrows the requirements for the time of the call. */
void install_exchange_start(InstallExchange *exchange, Session *session, const Slice *requirements,
                            size_t n_requirements);

/* What an outcome other than INSTALL_DONE is over HTTP: 404, 413, 422, 502, 503, 504, 507. */
ErrorAnswer install_error_answer(const InstallExchange *exchange, InstallOutcome outcome);
