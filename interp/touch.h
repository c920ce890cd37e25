#pragma once
/* touch: the pages that heavy runs dirty, recorded once, and written to in a worker ahead of its
 * run. */

/* Writes to the recorded pages, so that they are private to this process. Changes no content. */
void touch_pages(void);
