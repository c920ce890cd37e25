#pragma once
/*
 * image: makes forks of a warm interpreter cheap.
 *
 * fork(2) copies the page tables of memory that a process has written: of ten thousand pages for
 * Python with numpy and pandas, and the child gives each of them back when it ends. It copies
 * nothing for private mappings of a file that were not written (mm/memory.c, vma_needs_copy(): a
 * mapping without an anon_vma is filled by faults instead). So, once the interpreter is warm, its
 * written memory is copied to a sealed memfd and mapped from there, privately, at the same
 * addresses. Fork, exit and wait take less than a third of the time then, and a worker's page
 * tables are smaller.
 *
 * A worker can no more write to the image than to its zygote's memory: what it writes becomes its
 * own copy, no descriptor of the memfd stays open, and its seals forbid writing through any other
 * way.
 */

#include <stddef.h>

/*
 * Moves the memory of the calling process. One thread only; nothing but this function may run
 * meanwhile. Returns the bytes moved, or -errno when nothing or not everything could be: the
 * process is whole in every case, and forks are only slower.
 */
long image_make(void);
