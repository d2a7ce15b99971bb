/*
 * Positioned 64-bit reads from the packed file, and the words for a damaged one.
 */
#include "bundle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void bundle_close(struct bundle *bundle)
{
    if (bundle->file != DISK_FILE_NONE) {
        file_close(bundle->file);
    }
    free(bundle->path);
    *bundle = (struct bundle){.file = DISK_FILE_NONE};
}

bool bundle_read(const struct bundle *bundle, void *buffer, size_t size_bytes, uint64_t offset_bytes,
                 struct failure *failure)
{
    if (offset_bytes > bundle->size_bytes || size_bytes > bundle->size_bytes - offset_bytes) {
        return bundle_damaged(bundle, failure,
                              "it is cut short (bytes %" PRIu64 " to %" PRIu64 " are needed, it has %" PRIu64 ")",
                              offset_bytes, offset_bytes + size_bytes, bundle->size_bytes);
    }
    uint8_t *target = buffer;
    while (size_bytes > 0) {
        size_t count = 0;
        disk_error error = file_read_at(bundle->file, target, size_bytes, offset_bytes, &count);
        if (error != 0) {
            return fail(failure, FAILURE_DAMAGED,
                        "%s can't be read at byte %" PRIu64 ": %s. Check the disk, or copy the file again.",
                        bundle->path, offset_bytes, disk_error_text(error));
        }
        if (count == 0) {
            return bundle_damaged(bundle, failure, "it was cut short to %" PRIu64 " bytes while it was starting",
                                  offset_bytes);
        }
        target += count;
        offset_bytes += count;
        size_bytes -= count;
    }
    return true;
}

bool bundle_damaged(const struct bundle *bundle, struct failure *failure, const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return fail(failure, FAILURE_DAMAGED, "%s is damaged: %s. Copy or download it again.", bundle->path, detail);
}
