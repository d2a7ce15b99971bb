/*
 * The packed file we are part of, opened for reading.
 */
#ifndef PACKER_BUNDLE_H
#define PACKER_BUNDLE_H

#include "disk.h"
#include "launcher.h"

struct bundle {
    char *path; /* absolute */
    disk_file file;
    uint64_t size_bytes;
    bool path_from_proc; /* found through /proc, so the programs we start will find theirs there too */
};

/* Find and open the file that this process was started from (platform_*.c). Close with bundle_close(). */
bool bundle_open_self(struct bundle *bundle, struct failure *failure);

void bundle_close(struct bundle *bundle);

/* Read exactly `size_bytes` at `offset_bytes`, or fail saying that the file is cut short or can't be read. */
bool bundle_read(const struct bundle *bundle, void *buffer, size_t size_bytes, uint64_t offset_bytes,
                 struct failure *failure);

/* Fail with "<path> is damaged: <detail>. Copy or download it again."; returns false. */
bool bundle_damaged(const struct bundle *bundle, struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
