/* hatchery: runs untrusted Python snippets over HTTP. */

#include <stdio.h>

#include "kit/log.h"
#include "server/options.h"
#include "server/serve.h"

#define EXIT_USAGE 2

int main(int argc, char **argv) {
        Options *options = NULL;
        int status = EXIT_SUCCESS;
        LogLevel level;

        log_set_name("hatchery");
        switch (options_read(argc, argv, &options)) {
        case OPTIONS_SERVE:
                if (log_level_parse(options->log_level, &level) == 0)
                        log_set_level(level);
                status = serve(options);
                break;
        case OPTIONS_CHECK:
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
