#include "interp/touch.h"

void touch_pages(void) {
}
