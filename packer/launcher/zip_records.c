/*
 * Parsing of ZIP records out of a buffer; see zip_records.h.
 */
#include "zip_records.h"

enum { ZIP64_EXTRA_ID = 1, EXTRA_HEADER_BYTES = 4 };

/* Take the ZIP64 field's content into the values that overflowed. */
static bool take_values(const uint8_t *field, size_t field_bytes, uint64_t *const *values, size_t num_values)
{
    for (size_t i = 0; i < num_values; i++) {
        if (*values[i] != UINT32_MAX) {
            continue;
        }
        if (field_bytes < sizeof(uint64_t)) {
            return false;
        }
        *values[i] = little64(field);
        field += sizeof(uint64_t);
        field_bytes -= sizeof(uint64_t);
    }
    return field_bytes == 0;
}

bool zip64_resolve(const uint8_t *extra, size_t extra_bytes, uint64_t *const *values, size_t num_values)
{
    bool wanted = false;
    for (size_t i = 0; i < num_values; i++) {
        wanted = wanted || *values[i] == UINT32_MAX;
    }
    bool found = false;
    while (extra_bytes > 0) {
        if (extra_bytes < EXTRA_HEADER_BYTES) {
            return false;
        }
        size_t field_bytes = little16(extra + 2);
        if (field_bytes > extra_bytes - EXTRA_HEADER_BYTES) {
            return false;
        }
        if (little16(extra) == ZIP64_EXTRA_ID) {
            if (found || !take_values(extra + EXTRA_HEADER_BYTES, field_bytes, values, num_values)) {
                return false;
            }
            found = true;
        }
        extra += EXTRA_HEADER_BYTES + field_bytes;
        extra_bytes -= EXTRA_HEADER_BYTES + field_bytes;
    }
    return found || !wanted;
}

const char *zip_central_record(const uint8_t *bytes, size_t left_bytes, struct central_record *record)
{
    if (left_bytes < CENTRAL_RECORD_BYTES) {
        return "is cut short";
    }
    if (little32(bytes) != CENTRAL_SIGNATURE) {
        return "lacks its signature";
    }
    size_t name_bytes = little16(bytes + 28);
    size_t extra_bytes = little16(bytes + 30);
    size_t comment_bytes = little16(bytes + 32);
    size_t record_bytes = CENTRAL_RECORD_BYTES + name_bytes + extra_bytes + comment_bytes;
    if (record_bytes > left_bytes) {
        return "is longer than the directory";
    }
    *record = (struct central_record){
        .name = (const char *)bytes + CENTRAL_RECORD_BYTES,
        .name_bytes = name_bytes,
        .record_bytes = record_bytes,
        .made_by_system = bytes[5],
        .flags = little16(bytes + 8),
        .method = little16(bytes + 10),
        .crc32 = little32(bytes + 16),
        .stored_bytes = little32(bytes + 20),
        .size_bytes = little32(bytes + 24),
        .unix_mode = little16(bytes + 40),
        .header_offset_bytes = little32(bytes + 42),
    };
    uint64_t *const values[] = {&record->size_bytes, &record->stored_bytes, &record->header_offset_bytes};
    const uint8_t *extra = bytes + CENTRAL_RECORD_BYTES + name_bytes;
    return zip64_resolve(extra, extra_bytes, values, 3) ? NULL : "has a malformed ZIP64 field";
}
