/*
 * glibc versions ("2.35") and the newest one that a libc.so.6 defines.
 */
#ifndef PACKER_GLIBC_VERSION_H
#define PACKER_GLIBC_VERSION_H

#include "launcher.h"

struct glibc_version {
    unsigned long major;
    unsigned long minor;
};

/* Parse "2.35", also followed by ".n" or a newline. Returns false on anything else. */
bool glibc_version_parse(const char *text, struct glibc_version *version);

/* Whether `have` is as new as `needed` or newer. */
bool glibc_version_reaches(const struct glibc_version *have, const struct glibc_version *needed);

/*
 * Newest GLIBC_x.y among the version definitions of the x86-64 shared library at `path`. Returns false when the file
 * isn't there, isn't such a library, or defines none (musl's, for one).
 */
bool glibc_version_of_library(const char *path, struct glibc_version *newest);

#endif
