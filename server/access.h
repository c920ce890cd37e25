#pragma once
/* access: what surrounds every answer, whoever gives it: the request's id, the stated form of the
 * errors that libh2o makes by itself, and a line in the log. Bodies, queries and headers are never
 * logged. */

#include <h2o.h>

#include "server/app.h"

void access_register(h2o_pathconf_t *paths, App *app);
