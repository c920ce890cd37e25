#include "server/time_text.h"

#include <stdio.h>
#include <time.h>

#include "kit/clock.h"

#define LAST_S 253402300799LL /* of the year 9999 */

/* Without the zone. */
static void write_date(int64_t epoch_s, char ret_text[TIME_TEXT_SIZE]) {
        time_t seconds = (time_t) (epoch_s < 0 ? 0 : epoch_s > LAST_S ? LAST_S : epoch_s);
        struct tm utc;

        ret_text[0] = '\0';
        if (gmtime_r(&seconds, &utc))
                (void) strftime(ret_text, TIME_TEXT_SIZE, "%FT%T", &utc);
}

void time_text_seconds(int64_t epoch_s, char ret_text[TIME_TEXT_SIZE]) {
        char date[TIME_TEXT_SIZE];

        write_date(epoch_s, date);
        (void) snprintf(ret_text, TIME_TEXT_SIZE, "%.24sZ", date);
}

void time_text_utc(uint64_t epoch_ms, char ret_text[TIME_TEXT_SIZE]) {
        char date[TIME_TEXT_SIZE];

        write_date((int64_t) (epoch_ms / 1000), date);
        (void) snprintf(ret_text, TIME_TEXT_SIZE, "%.24s.%03uZ", date,
                        (unsigned) (epoch_ms % 1000));
}

uint64_t time_epoch_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        return clock_timespec_ns(&now) / NS_PER_MS;
}
