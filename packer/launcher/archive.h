/*
 * The ZIP64 archive at the end of the packed file: finds it and lists the runtime's files for this target.
 *
 * Nothing is searched for: the end record is the last 22 bytes (before the signature of a signed PE file), the ZIP64
 * locator stands before it, the ZIP64 end record before that, the central directory before that. Every length and offset is checked before it is used.
 * Sources: PKWARE APPNOTE.TXT 6.3.10; the rules beyond ZIP are in packer/container/layout.py.
 */
#ifndef PACKER_ARCHIVE_H
#define PACKER_ARCHIVE_H

#include "bundle.h"
#include "launcher.h"

enum { METHOD_STORED = 0, METHOD_ZSTANDARD = 93 };

/* One file of the runtime. */
struct archive_entry {
    const char *path; /* below runtime/<target>/; relative, checked, NUL-terminated */
    uint16_t method;
    bool executable;
    uint32_t crc32;
    uint64_t stored_bytes;
    uint64_t size_bytes;
    uint64_t header_offset_bytes;
};

struct archive {
    struct archive_entry *entries;
    size_t num_entries;
    char runtime_id[RUNTIME_ID_DIGITS + 1]; /* lowercase hexadecimal */
    uint64_t directory_offset_bytes;
    char *paths; /* memory of the entries' paths */
};

/* Read the central directory and runtime.id. Free with archive_close(), also after a failure. */
bool archive_open(const struct bundle *bundle, struct archive *archive, struct failure *failure);

void archive_close(struct archive *archive);

/* Check the entry's local header against its central record and give the offset of its data. */
bool archive_data_offset(const struct bundle *bundle, const struct archive *archive, const struct archive_entry *entry,
                         uint64_t *data_offset_bytes, struct failure *failure);

#endif
