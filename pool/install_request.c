/* What a caller asks of the installer: to begin, and to leave it. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "pool/install_internal.h"

static int check(const Slice *requirements, size_t n, InstallProblem *ret_problem) {
        Requirement requirement;

        *ret_problem = (InstallProblem){0};
        if (n == 0)
                ret_problem->why = "is missing";
        for (size_t i = 0; i < n && !ret_problem->why; i++) {
                ret_problem->index = i;
                ret_problem->why = i == REQUIREMENTS_MAX
                                           ? "is one too many; 64 are the most at once"
                                           : requirement_parse(requirements[i], &requirement);
        }
        return ret_problem->why ? INSTALL_E_REQUIREMENT : POOL_OK;
}

static int copy_requirements(Install *install, const Slice *requirements, size_t n) {
        size_t size = 0, used = 0;

        for (size_t i = 0; i < n; i++)
                size += requirements[i].size + 1;
        install->texts = malloc(size);
        install->requirements = calloc(n, sizeof(*install->requirements));
        if (!install->texts || !install->requirements)
                return raise_error(-ENOMEM, "copy requirements");
        for (size_t i = 0; i < n; i++) {
                Requirement *requirement = &install->requirements[i];
                Slice copy;

                /* Without the white space around it. */
                if (requirement_parse(requirements[i], requirement))
                        return -EINVAL;
                copy = slice_of(install->texts + used, requirement->text.size);
                memcpy(install->texts + used, requirement->text.data, copy.size);
                used += copy.size;
                install->texts[used++] = '\0';
                (void) requirement_parse(copy, requirement);
        }
        install->texts_size = used;
        install->n_requirements = n;
        return 0;
}

static int note_session(Install *install, Session *session) {
        const Pool *pool = install->installer->config.pool;
        TemplateState state;
        struct stat status;
        SessionInfo info;

        session_inspect(session, &info);
        install->space = info.space;
        (void) strncpy(install->session_id, info.id, sizeof(install->session_id) - 1);
        install->packages_fd = fcntl(session_packages_fd(session), F_DUPFD_CLOEXEC, 3);
        if (install->packages_fd < 0 || fstat(install->packages_fd, &status) < 0)
                return raise_errno("open a session's packages");
        install->packages_device = status.st_dev;
        install->packages_inode = status.st_ino;
        install->template = (unsigned) pool_find_template(pool, slice_of_text(info.template));
        pool_template_state(pool, install->template, &state);
        return package_list_of_template(state.about, &install->in_template);
}

static bool is_in_template(const Install *install) {
        for (size_t i = 0; i < install->n_requirements; i++) {
                if (!install_has(install, &install->requirements[i]))
                        return false;
        }
        return true;
}

static int begin(Install *install, Session *session, const Slice *requirements, size_t n) {
        const char *index = install->installer->config.index_url;
        int r = copy_requirements(install, requirements, n);

        if (r == 0)
                r = note_session(install, session);
        if (r == 0 && index && strcmp(index, "none") == 0 && !is_in_template(install))
                r = INSTALL_E_SWITCHED_OFF;
        if (r == 0 && !is_in_template(install) &&
            pool_disk_is_short(install->installer->config.pool, 0))
                r = INSTALL_E_NO_DISK;
        return r;
}

int install_start(Installer *installer, Session *session, const Slice *requirements,
                  size_t n_requirements, const InstallCallback *callback, Install **ret_install,
                  InstallProblem *ret_problem) {
        Install *install;
        int r = check(requirements, n_requirements, ret_problem);

        if (r != POOL_OK)
                return r;
        if (installer->n_installs >= installer->config.running_max + installer->config.queue_max)
                return INSTALL_E_QUEUE_FULL;
        install = calloc(1, sizeof(*install));
        if (!install)
                return raise_error(-ENOMEM, "begin an installation");
        *install = (Install){
                .installer = installer,
                .callback = *callback,
                .packages_fd = -1,
                .staging_fd = -1,
                .pid_fd = -1,
                .program = PROGRAM_NONE,
                .timer.position = TIMER_OFF,
                .key = BUFFER_INIT(INSTALL_KEY_MAX),
                .log = BUFFER_INIT(INSTALL_LOG_MAX),
                .previous = installer->last,
        };
        *(installer->last ? &installer->last->next : &installer->first) = install;
        installer->last = install;
        installer->n_installs++;
        r = begin(install, session, requirements, n_requirements);
        if (r != 0) {
                install_free(install);
                return r;
        }
        install_move(install, INSTALL_QUEUED);
        *ret_install = install;
        return POOL_OK;
}

void install_cancel(Install *install) {
        assert(!install->is_cancelled);
        install->is_cancelled = true;
        switch (install->step) {
        case INSTALL_QUEUED:
        case INSTALL_WAITS:
        case INSTALL_ANSWERS:
                install_move(install, INSTALL_ANSWERS);
                break;
        case INSTALL_RUNS:
                install_process_kill(install);
                break;
        case INSTALL_LOOKS:
        case INSTALL_STAGES:
        case INSTALL_ENDS:
        case INSTALL_TAKES:
        case INSTALL_LINKS:
                /* It goes when this has ended. */
                break;
        }
}
