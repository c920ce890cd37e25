#pragma once
/* time_text: points in time as clients read them. */

#include <stdint.h>

#define TIME_TEXT_SIZE 32

/* "2023-06-01T12:00:00.000Z" (RFC 3339), of milliseconds since the epoch. */
void time_text_utc(uint64_t epoch_ms, char ret_text[TIME_TEXT_SIZE]);

/* Now, in milliseconds since the epoch: for people to read, never for durations. */
uint64_t time_epoch_ms(void);
