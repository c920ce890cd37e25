#include "server/time_text.h"

#include <stdio.h>
#include <time.h>

#include "kit/clock.h"

void time_text_utc(uint64_t epoch_ms, char ret_text[TIME_TEXT_SIZE]) {
        time_t seconds = (time_t) (epoch_ms / 1000);
        char date[24] = "";
        struct tm utc;

        if (gmtime_r(&seconds, &utc))
                (void) strftime(date, sizeof(date), "%FT%T", &utc);
        (void) snprintf(ret_text, TIME_TEXT_SIZE, "%s.%03uZ", date, (unsigned) (epoch_ms % 1000));
}

uint64_t time_epoch_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        return clock_timespec_ns(&now) / NS_PER_MS;
}
