#include "interp/reset.h"

int reset_prepare(void) {
        return 0;
}

int reset_worker(void) {
        return -1;
}
