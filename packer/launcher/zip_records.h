/*
 * The fixed parts of ZIP records: signatures, lengths, little-endian fields, ZIP64 extra fields.
 * Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
 */
#ifndef PACKER_ZIP_RECORDS_H
#define PACKER_ZIP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOCAL_HEADER_BYTES = 30,
    CENTRAL_RECORD_BYTES = 46,
    ZIP64_END_BYTES = 56,
    ZIP64_LOCATOR_BYTES = 20,
    END_BYTES = 22,
    TRAILER_BYTES = ZIP64_END_BYTES + ZIP64_LOCATOR_BYTES + END_BYTES,
    FLAG_UTF8 = 1 << 11,
    MADE_ON_UNIX = 3,
    UNIX_TYPE_MASK = 0170000,
    UNIX_REGULAR_FILE = 0100000,
    UNIX_EXECUTABLE = 0100,
};

#define LOCAL_SIGNATURE 0x04034b50U
#define CENTRAL_SIGNATURE 0x02014b50U
#define ZIP64_END_SIGNATURE 0x06064b50U
#define ZIP64_LOCATOR_SIGNATURE 0x07064b50U
#define END_SIGNATURE 0x06054b50U

static inline uint16_t little16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t little32(const uint8_t *bytes)
{
    return (uint32_t)little16(bytes) | (uint32_t)little16(bytes + 2) << 16;
}

static inline uint64_t little64(const uint8_t *bytes)
{
    return (uint64_t)little32(bytes) | (uint64_t)little32(bytes + 4) << 32;
}

/* A central directory record, ZIP64 fields already resolved; `name` points into the directory's bytes. */
struct central_record {
    const char *name; /* not NUL-terminated */
    size_t name_bytes;
    size_t record_bytes;
    uint16_t made_by_system;
    uint16_t flags;
    uint16_t method;
    uint16_t unix_mode;
    uint32_t crc32;
    uint64_t stored_bytes;
    uint64_t size_bytes;
    uint64_t header_offset_bytes;
};

/* Parse the record at `bytes`, of which `left_bytes` are there. Returns NULL, or what is wrong with it. */
const char *zip_central_record(const uint8_t *bytes, size_t left_bytes, struct central_record *record);

/*
 * Replace the values that read 0xFFFFFFFF by those of the ZIP64 extra field among `extra`, in the order of `values`.
 * Returns false when the field is missing, or longer or shorter than needed, or the extra data is malformed.
 */
bool zip64_resolve(const uint8_t *extra, size_t extra_bytes, uint64_t *const *values, size_t num_values);

#endif
