/* hatchery: runs untrusted Python snippets over HTTP. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kit/log.h"
#include "server/check.h"
#include "server/options.h"
#include "server/serve.h"

#define EXIT_USAGE 2

/* A closed one would be the number of the next file or socket that is opened, and the log would be
 * written into that. They are for the interpreters too, so they stay open over an exec. */
static void fill_standard_streams(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd >= 0)
                (void) close(fd);
}

/* Other processes of this user, runs among them where they have no user of their own, must not
 * attach to the server, read its memory (requests, the TLS key, uploads) or take its descriptors;
 * and a core file would hold all that. What it starts is not covered: exec(2) makes a process
 * dumpable again. */
static void close_to_others(void) {
        (void) prctl(PR_SET_DUMPABLE, 0);
}

int main(int argc, char **argv) {
        Options *options = NULL;
        int status = EXIT_SUCCESS;
        LogLevel level;

        fill_standard_streams();
        close_to_others();
        log_set_name("hatchery");
        switch (options_read(argc, argv, &options)) {
        case OPTIONS_SERVE:
                if (log_level_parse(options->log_level, &level) == 0)
                        log_set_level(level);
                status = serve(options);
                break;
        case OPTIONS_CHECK:
                log_set_level(LOG_LEVEL_ERROR);
                status = check(options);
                break;
        case OPTIONS_CHECK_CONFIG:
                (void) printf("the configuration is valid\n");
                break;
        case OPTIONS_PRINTED:
                break;
        case OPTIONS_INVALID:
                status = EXIT_USAGE;
                break;
        }
        (void) options_free(options);
        return status;
}
