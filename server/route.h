#pragma once
/* route: the one routing table. Every path of every API stands in route.c; a path that is none gets
 * 404, a method that is none 405 with Allow. */

#include <h2o.h>

#include "kit/bytes.h"
#include "server/app.h"

/* In which shape the errors of a route are written. */
typedef enum ErrorStyle {
        ERRORS_PROBLEM,       /* application/problem+json, RFC 9457 */
        ERRORS_DETAIL,        /* {"detail": "…"}, as FastAPI services have it */
        ERRORS_STATUS_OUTPUT, /* {"status": "Error", "output": "…"}, the data-analysis sandbox */
        ERRORS_ERROR,         /* {"error": "…"}, the per-user container */
} ErrorStyle;

/* How large the body of a request may be. */
typedef enum BodyLimit {
        BODY_REQUEST, /* request_bytes_max */
        BODY_FILES,   /* sessions.file_bytes_max, if that is more */
} BodyLimit;

#define ROUTE_PARAMETERS_MAX 2

typedef struct RouteMatch {
        Slice parameters[ROUTE_PARAMETERS_MAX]; /* what stood for each {…} in the path, in order,
                                                   percent-decoded; in the request's pool. Any
                                                   bytes: NUL and what is not UTF-8 too */
        ErrorStyle errors;
} RouteMatch;

/* Answers now, or arranges that the answer comes later. */
typedef void (*RouteHandler)(App *app, h2o_req_t *req, const RouteMatch *match);

typedef struct Route {
        const char *method;
        const char *path; /* "/v1/execute", or with {…} that stands for one component:
                             "/get_data/{key}", and is neither "." nor "..". A last {…*} stands for
                             all the rest, with its slashes, encoded ones too: "/files/{path*}".
                             Neither stands for nothing */
        RouteHandler handler;
        ErrorStyle errors;
        BodyLimit body;
} Route;

/* Finds the route of a request and calls its handler, or answers 404 or 405. HEAD goes where GET
 * goes. */
void route_dispatch(App *app, h2o_req_t *req);

/* The route of a request target as it was sent, or NULL. */
const Route *route_of_target(Slice method, Slice target);

/* In which shape its errors are to be, before it is dispatched. */
ErrorStyle route_errors(h2o_req_t *req);

/* Whether a path as it was sent, before its query, exists; for limits that depend on it. */
const Route *route_find(Slice method, Slice path, bool *ret_path_exists);

/* Whether a path as it was sent is what a route's path says; ret_parameters has
 * ROUTE_PARAMETERS_MAX, which are not decoded yet. Of a last {…*} it is not said whether it can be.
 */
bool route_path_matches(const char *pattern, Slice path, Slice *ret_parameters);
