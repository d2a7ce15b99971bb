/*
 * What differs between operating systems, apart from bundle_open_self(): one platform_*.c file per system.
 */
#ifndef PACKER_PLATFORM_H
#define PACKER_PLATFORM_H

#include "launcher.h"

/* Make sure that standard input, output and error are open, so that no file of ours takes their place. */
void platform_open_standard_streams(void);

/* Home directory from the user database, or NULL. The caller frees it. */
char *platform_home_directory(void);

/* Number of CPUs this process may use, at least 1. */
unsigned platform_num_cpus(void);

/* Fill `bytes` with random data, good enough for a unique file name. */
void platform_random(void *bytes, size_t num_bytes);

#endif
