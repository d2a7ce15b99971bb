/*
 * What the Windows files of the launcher know of an open directory.
 */
#ifndef PACKER_DIRECTORY_WINDOWS_H
#define PACKER_DIRECTORY_WINDOWS_H

#include "disk.h"

#include <wchar.h>

struct directory {
    wchar_t *path; /* \\?\..., without a backslash at its end */
};

/* The long path of `path` in a directory. The caller frees it. */
wchar_t *directory_join(const struct directory *directory, const char *path);

#endif
