/*
 * Which entry paths may become files below the cache directory.
 */
#ifndef PACKER_ENTRY_PATH_H
#define PACKER_ENTRY_PATH_H

#include <stddef.h>

enum { ENTRY_PATH_MAX_BYTES = 1024, ENTRY_PATH_SHOWN_BYTES = 96 };

/*
 * What is wrong with a path, or NULL: it must be relative, '/'-separated, without empty, '.' or '..' components,
 * backslashes, colons or control characters, at most 1024 bytes with components of at most 255.
 */
const char *entry_path_problem(const char *path, size_t path_bytes);

/* Put a printable form of any path into `shown` (ENTRY_PATH_SHOWN_BYTES long). */
void entry_path_show(const char *path, size_t path_bytes, char *shown);

#endif
