#pragma once
/* start: what has to be done before runs can be taken, for `serve` and `check` alike. Each failure
 * has been said in one line on standard error when a function returns. */

#include "server/options.h"
#include "pool/install.h"
#include "pool/pool.h"

/* Of sysexits.h: the configuration asks for what this machine cannot give. */
#define EXIT_CONFIG 78

/* Finds out which layers there are, and which of them to take. Returns 0; EXIT_CONFIG when they are
 * not enough; or another exit status. Call it before there are other threads or children. */
_must_check_ int start_isolation(const Options *options, IsolationPlan *ret_plan);

/* A line in the log that says what has been decided; a warning when it is nothing. */
void start_log_isolation(const IsolationPlan *plan);

/* Raises the soft limit of descriptors to the hard one, which must do for connections and workers;
 * *ret_sessions_max is how many sessions it does for besides, at most as many as are configured. */
_must_check_ int start_descriptors(const Options *options, unsigned *ret_sessions_max);

/* probe_port: a TCP port on loopback that this process listens on, or 0. sessions_max: 0 for a pool
 * without sessions. Options, plan and templates must outlive the pool. */
_must_check_ int start_pool(const Options *options, const TemplateConfig *templates,
                            const IsolationPlan *plan, uint16_t probe_port, unsigned sessions_max,
                            Pool **ret_pool);

/* What installs packages into sessions. */
_must_check_ int start_installer(const Options *options, const IsolationPlan *plan, Pool *pool,
                                 Installer **ret_installer);

int start_failed(const char *what, int error);

/* In one line: of "what: traceback", what and the traceback's last line. The log has all of it. */
void start_shorten_failure(const char *failure, char *line, size_t size);

/* Says why a template will not start by itself, if that is so. Returns 0, or an exit status. */
int start_complain_about_template(const char *name, const TemplateState *state);
