#pragma once
/* time_text: points in time as clients read them. */

#include <stdint.h>

#define TIME_TEXT_SIZE 32

/* "2023-06-01T12:00:00Z" (RFC 3339), of seconds since the epoch. That form ends with the year 9999:
 * what lies before the epoch or behind it becomes its first or its last second. */
void time_text_seconds(int64_t epoch_s, char ret_text[TIME_TEXT_SIZE]);

/* "2023-06-01T12:00:00.000Z", of milliseconds since the epoch. */
void time_text_utc(uint64_t epoch_ms, char ret_text[TIME_TEXT_SIZE]);

/* Now, in milliseconds since the epoch: for people to read, never for durations. */
uint64_t time_epoch_ms(void);
