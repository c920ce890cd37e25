#pragma once
/*
 * touch: page faults taken ahead of a run. A forked process finds its memory unmapped, or shared
 * with the zygote, and pays a fault for each page that it reads or writes first: thousands when a
 * run uses pandas. Which pages those are is nearly the same each time. So the zygote lets a process
 * do such work once, asks the kernel which pages it has got, and idle workers ask for the same ones
 * in bulk: madvise(2) with MADV_POPULATE_WRITE and MADV_POPULATE_READ (Linux 5.14), which change no
 * content. The few pages of a start and of a tiny run are cheaper to take one by one, by a
 * rehearsal (worker.c): populating them in many workers at once makes these wait for each other at
 * the locks of the image's pages.
 */

/*
 * Records the pages: a child process calls work(data) and is thrown away. After image_make(); from
 * the zygote. Returns the pages recorded, or -errno; without a record, touch_pages() does nothing.
 */
long touch_record(void (*work)(void *data), void *data);

/* Gets the recorded pages for this process. What the kernel refuses is left to faults. */
void touch_pages(void);
