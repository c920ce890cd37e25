#pragma once
/*
 * touch: page faults taken ahead of a run. A forked process finds its memory unmapped, or shared
 * with the zygote, and pays a fault for each page that it reads or writes first: several hundred
 * for the smallest run, thousands for pandas. Which pages those are is nearly the same each time.
 * So the zygote lets a process do the work once, asks the kernel which pages it has got, and
 * workers ask for the same ones in bulk: madvise(2) with MADV_POPULATE_WRITE and MADV_POPULATE_READ
 * (Linux 5.14), which change no content.
 */

#include <stddef.h>

typedef enum TouchSet {
        TOUCH_START, /* what a worker needs to come up, and for a tiny run */
        TOUCH_HEAVY, /* what the template's imports need beyond that when they are used */
        _TOUCH_SETS,
} TouchSet;

/*
 * Records a set: a child process calls work(data) and is thrown away. After image_make(); from the
 * zygote. Returns the pages recorded, or -errno; without a record, touch_pages() does nothing.
 */
long touch_record(TouchSet set, void (*work)(void *data), void *data);

/* Gets the pages of a set for this process. What the kernel refuses is left to faults. */
void touch_pages(TouchSet set);
