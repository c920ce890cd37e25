#pragma once
/* facts: pieces of JSON that several of the answers about the server itself have in common. */

#include "jsontext/write.h"
#include "server/route.h"

void facts_write_number(JsonWriter *writer, const char *name, uint64_t value);

void facts_write_texts(JsonWriter *writer, const char *name, const char *const *texts, size_t n);

/* {"wall_ms": {"default": …, "maximum": …}, …} */
void facts_write_limits(JsonWriter *writer, const LimitPolicy *limits);

/* The members of what a zygote says of itself: "python": "…", "packages": {…}. */
void facts_write_about(JsonWriter *writer, const char *about);

/* What shuts a run in, by name, and whether it is in force: {"no_new_privs": true, …}. In short:
 * what the first versions had. */
typedef enum LayerSelection { LAYERS_IN_SHORT, LAYERS_IN_FULL } LayerSelection;
void facts_write_layers(JsonWriter *writer, const App *app, LayerSelection selection);

/* The same with what is behind it: {"mode": "strict", "kernel": …, "layers": {"seccomp": {"state":
 * "on", "proven": true}, …}, "degraded": […]}. Degraded are layers that there could be. */
void facts_write_isolation(JsonWriter *writer, const App *app);

/* What a template allows beyond that, as members of its object. */
void facts_write_loosened(JsonWriter *writer, const TemplateConfig *config);

/* Sends what has been written, or 503 when there was no memory for it. */
void facts_respond(h2o_req_t *req, const RouteMatch *match, int status, const JsonWriter *writer,
                   Buffer *body);
