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

/* Identity of this process, for names that other processes don't use at the same time. */
unsigned long platform_process_id(void);

/* Whether a path in the system's own form is absolute. */
bool platform_is_absolute(const char *path);

/* Milliseconds of a clock that never goes back. */
double platform_clock_ms(void);

/* Write all of `text` (UTF-8) to standard error; there is nowhere to report a failure of that to. */
void platform_write_error(const char *text, size_t text_bytes);

/* Make sure that a user who started us by a double click sees the last message before its window closes. */
void platform_show_failure(const char *text);

/* Fill `bytes` with random data, good enough for a unique file name. */
void platform_random(void *bytes, size_t num_bytes);

#endif
