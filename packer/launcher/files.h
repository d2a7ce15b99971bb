/*
 * Work on directory trees through directory descriptors: create, remove, flush.
 */
#ifndef PACKER_FILES_H
#define PACKER_FILES_H

#include "launcher.h"

/* Create the directories above the file `path` inside `root`. Returns 0 or an errno value. */
int files_make_parents(int root, const char *path);

/* Create the absolute directory `path` and what is missing above it (mode 0700). Returns 0 or an errno value. */
int files_make_directories(const char *path);

/* Remove the file or directory `name` in `parent` with all it holds. Returns 0 or an errno value. */
int files_remove_tree(int parent, const char *name);

/* Flush the directory `name` in `parent` and every directory below it to the disk. Returns 0 or an errno value. */
int files_sync_directories(int parent, const char *name);

/* fsync(). Returns 0 or an errno value; file systems that can't flush such a thing count as done. */
int files_sync(int descriptor);

/* Write all of `data`. Returns 0 or an errno value. */
int files_write(int descriptor, const uint8_t *data, size_t data_bytes);

#endif
