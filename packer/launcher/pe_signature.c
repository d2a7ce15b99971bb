/*
 * The security directory of a PE file; see pe_signature.h.
 */
#include "pe_signature.h"
#include "zip_records.h"

#include <string.h>

enum {
    DOS_HEADER_BYTES = 64,
    NEW_HEADER_FIELD = 0x3c,
    PE_HEADERS_BYTES = 24 + 112 + 5 * 8, /* signature and file header, PE32+ header, directories up to security */
    MAGIC_FIELD = 24,
    NUM_DIRECTORIES_FIELD = 24 + 108,
    SECURITY_FIELD = 24 + 112 + 4 * 8,
    MAGIC_PE32_PLUS = 0x20b,
};
#define MAX_NEW_HEADER_OFFSET 65536U

bool pe_signature_start(const struct bundle *bundle, uint64_t *start_bytes, struct failure *failure)
{
    uint8_t dos[DOS_HEADER_BYTES];
    uint8_t headers[PE_HEADERS_BYTES];
    *start_bytes = bundle->size_bytes;
    if (bundle->size_bytes < sizeof dos + sizeof headers) {
        return true;
    }
    if (!bundle_read(bundle, dos, sizeof dos, 0, failure)) {
        return false;
    }
    uint64_t offset_bytes = little32(dos + NEW_HEADER_FIELD);
    if (memcmp(dos, "MZ", 2) != 0 || offset_bytes > MAX_NEW_HEADER_OFFSET ||
        offset_bytes > bundle->size_bytes - sizeof headers) {
        return true;
    }
    if (!bundle_read(bundle, headers, sizeof headers, offset_bytes, failure)) {
        return false;
    }
    uint64_t signature_offset = little32(headers + SECURITY_FIELD);
    uint64_t signature_bytes = little32(headers + SECURITY_FIELD + 4);
    if (memcmp(headers, "PE\0\0", 4) == 0 && little16(headers + MAGIC_FIELD) == MAGIC_PE32_PLUS &&
        little32(headers + NUM_DIRECTORIES_FIELD) > 4 && signature_bytes > 0 && signature_offset > offset_bytes &&
        signature_offset + signature_bytes == bundle->size_bytes) {
        *start_bytes = signature_offset;
    }
    return true;
}
