#pragma once
/* plan: what the command line asks the load generator to do. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"

#define CONNECTIONS_MAX  1024
#define EXPECTATIONS_MAX 8

typedef struct Plan {
        struct sockaddr_in address;
        Buffer request; /* as it goes over the wire */
        unsigned connections;
        uint64_t warm_up_ns, measure_ns;
        uint64_t rest_ns; /* closed loop: between an answer and the next request */
        double rate;      /* requests per second of an open loop; 0: closed loop */
        bool poisson;     /* open loop: exponential gaps instead of equal ones */
        uint64_t seed;
        int status;                            /* that every answer must have */
        Buffer expectations[EXPECTATIONS_MAX]; /* bytes that every body must hold */
        size_t n_expectations;
        bool verbose; /* print the first wrong answer */
} Plan;

/* Returns 0, or a negative value after one line on standard error. */
int plan_read(int argc, char **argv, Plan *ret_plan);
void plan_done(Plan *plan);
