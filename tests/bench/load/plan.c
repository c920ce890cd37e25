#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kit/clock.h"
#include "plan.h"

static const char usage[] =
        "usage: hatchery-load [option...] http://ADDRESS:PORT/PATH\n"
        "Sends the same request again and again, checks every answer, and prints what it measured "
        "as JSON.\n"
        "\n"
        "  --body-file FILE         POST this; without it, GET\n"
        "  --header 'NAME: VALUE'   add a header; may be repeated\n"
        "  --expect-status N        every answer must have this status (200)\n"
        "  --expect TEXT            every body must hold these bytes; may be repeated\n"
        "  --expect-file FILE       likewise, from a file\n"
        "  --connections N          kept alive (1)\n"
        "  --warm-up SECONDS        before measuring (0.2)\n"
        "  --seconds SECONDS        to measure (2)\n"
        "  --rest-us N              closed loop: each connection rests so long after an answer "
        "(0)\n"
        "  --rate N                 open loop: N requests a second, whatever the answers do\n"
        "  --poisson                open loop: random gaps instead of equal ones\n"
        "  --seed N                 of those (1)\n"
        "  --verbose                print the first wrong answer\n"
        "\n"
        "A closed loop measures from sending; an open loop from the moment at which the request "
        "was due, so that a stall counts\n"
        "for all that had to wait behind it.\n";

typedef struct Draft {
        Plan *plan;
        Buffer headers;
        Buffer body;
        bool has_body;
} Draft;

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) fputs("hatchery-load: ", stderr);
        (void) vfprintf(stderr, format, arguments);
        (void) fputc('\n', stderr);
        va_end(arguments);
        return -EINVAL;
}

static int append_text(Buffer *buffer, const char *text) {
        return buffer_append(buffer, text, strlen(text));
}

static int append_file(Buffer *buffer, const char *path) {
        char piece[8192];
        size_t size;
        int r = 0;
        FILE *file = fopen(path, "re");

        if (file == NULL)
                return complain("%s: %s", path, strerror(errno));
        while (r >= 0 && (size = fread(piece, 1, sizeof(piece), file)) > 0)
                r = buffer_append(buffer, piece, size);
        (void) fclose(file);
        return r;
}

static int parse_number(const char *text, double maximum, double *ret_number) {
        char *end;
        double number = strtod(text, &end);

        if (end == text || *end != '\0' || !(number >= 0 && number <= maximum))
                return complain("'%s' is not a number from 0 to %g", text, maximum);
        *ret_number = number;
        return 0;
}

static int add_expectation(Plan *plan, const char *text, bool is_file) {
        Buffer *expectation;

        if (plan->n_expectations == EXPECTATIONS_MAX)
                return complain("more than %d expectations", EXPECTATIONS_MAX);
        expectation = &plan->expectations[plan->n_expectations++];
        return is_file ? append_file(expectation, text) : append_text(expectation, text);
}

/* Splits http://ADDRESS:PORT/PATH; the address is a number, so that no resolver takes part. */
static int parse_url(Plan *plan, const char *url, const char **ret_path) {
        char host[64];
        unsigned port;
        int used = 0;

        if (sscanf(url, "http://%63[0-9.]:%u%n", host, &port, &used) != 2 || url[used] != '/' ||
            port > 65535 || inet_pton(AF_INET, host, &plan->address.sin_addr) != 1)
                return complain("'%s' is not like http://127.0.0.1:8000/path", url);
        plan->address.sin_family = AF_INET;
        plan->address.sin_port = htons((uint16_t) port);
        *ret_path = url + used;
        return 0;
}

static int write_request(Draft *draft, const char *url) {
        char start[512], length[64] = "";
        const char *path = NULL;
        Buffer *request = &draft->plan->request;
        int r = parse_url(draft->plan, url, &path);

        if (r < 0)
                return r;
        if (draft->has_body)
                (void) snprintf(length, sizeof(length),
                                "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                                draft->body.size);
        r = snprintf(start, sizeof(start), "%s %s HTTP/1.1\r\nHost: bench\r\n%s",
                     draft->has_body ? "POST" : "GET", path, length);
        if (r >= (int) sizeof(start))
                return complain("the path is too long");
        if (append_text(request, start) < 0 ||
            buffer_append(request, draft->headers.data, draft->headers.size) < 0 ||
            append_text(request, "\r\n") < 0 ||
            buffer_append(request, draft->body.data, draft->body.size) < 0)
                return complain("out of memory");
        return 0;
}

static int take_text_option(Draft *draft, int option, const char *value) {
        switch (option) {
        case 'b':
                draft->has_body = true;
                return append_file(&draft->body, value);
        case 'H':
                if (append_text(&draft->headers, value) < 0)
                        return -ENOMEM;
                return append_text(&draft->headers, "\r\n");
        case 'e':
        case 'E':
                return add_expectation(draft->plan, value, option == 'E');
        case 'p':
                draft->plan->poisson = true;
                return 0;
        case 'v':
                draft->plan->verbose = true;
                return 0;
        default:
                (void) fputs(usage, stderr);
                return -EINVAL;
        }
}

static int take_option(Draft *draft, int option, const char *value) {
        static const struct {
                int option;
                double maximum;
        } numbers[] = {{'c', CONNECTIONS_MAX},
                       {'w', 3600},
                       {'s', 86400},
                       {'r', 1e9},
                       {'R', 1e7},
                       {'S', 1e15},
                       {'x', 999}};
        Plan *plan = draft->plan;
        double number = 0;

        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                if (numbers[i].option == option &&
                    parse_number(value, numbers[i].maximum, &number) < 0)
                        return -EINVAL;
        switch (option) {
        case 'c':
                plan->connections = (unsigned) number;
                return 0;
        case 'w':
                plan->warm_up_ns = (uint64_t) (number * (double) NS_PER_S);
                return 0;
        case 's':
                plan->measure_ns = (uint64_t) (number * (double) NS_PER_S);
                return 0;
        case 'r':
                plan->rest_ns = (uint64_t) (number * (double) NS_PER_US);
                return 0;
        case 'R':
                plan->rate = number;
                return 0;
        case 'S':
                plan->seed = (uint64_t) number;
                return 0;
        case 'x':
                plan->status = (int) number;
                return 0;
        default:
                return take_text_option(draft, option, value);
        }
}

static int read_arguments(int argc, char **argv, Draft *draft) {
        static const struct option names[] = {
                {"body-file", required_argument, NULL, 'b'},
                {"header", required_argument, NULL, 'H'},
                {"expect-status", required_argument, NULL, 'x'},
                {"expect", required_argument, NULL, 'e'},
                {"expect-file", required_argument, NULL, 'E'},
                {"connections", required_argument, NULL, 'c'},
                {"warm-up", required_argument, NULL, 'w'},
                {"seconds", required_argument, NULL, 's'},
                {"rest-us", required_argument, NULL, 'r'},
                {"rate", required_argument, NULL, 'R'},
                {"poisson", no_argument, NULL, 'p'},
                {"seed", required_argument, NULL, 'S'},
                {"verbose", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {NULL, 0, NULL, 0},
        };
        int option, r;

        while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
                r = take_option(draft, option, optarg);
                if (r < 0)
                        return r;
        }
        if (optind != argc - 1)
                return complain("exactly one URL is needed; --help says more");
        if (draft->plan->connections == 0 || draft->plan->measure_ns == 0)
                return complain("there must be at least one connection and some time to measure");
        return write_request(draft, argv[optind]);
}

int plan_read(int argc, char **argv, Plan *ret_plan) {
        Draft draft = {.plan = ret_plan};
        int r;

        *ret_plan = (Plan){.connections = 1,
                           .warm_up_ns = 200 * NS_PER_MS,
                           .measure_ns = 2 * NS_PER_S,
                           .seed = 1,
                           .status = 200};
        r = read_arguments(argc, argv, &draft);
        buffer_done(&draft.headers);
        buffer_done(&draft.body);
        if (r < 0)
                plan_done(ret_plan);
        return r;
}

void plan_done(Plan *plan) {
        buffer_done(&plan->request);
        for (size_t i = 0; i < plan->n_expectations; i++)
                buffer_done(&plan->expectations[i]);
        plan->n_expectations = 0;
}
