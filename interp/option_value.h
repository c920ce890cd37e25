#pragma once
/* option_value: values of the options that hatchery starts its other program with. */

#include <stdint.h>

/* Decimal digits, at most maximum. Returns 0, or -1. */
int option_number(const char *text, uint64_t maximum, uint64_t *ret_number);
/* A descriptor beyond the standard streams. Returns 0, or -1. */
int option_descriptor(const char *text, int *ret_fd);
/* Sets the level of the log. Returns 0, or -1. */
int option_log_level(const char *text);
