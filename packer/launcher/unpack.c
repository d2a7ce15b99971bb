/*
 * One entry to one file: positioned reads, zstd (RFC 8878) or stored, size and CRC-32 checked; see unpack.h.
 */
#include "launcher.h"
#include "unpack.h"
#include "crc32.h"
#include "disk.h"
#include "signals.h"

#include <stdlib.h>

#include "zstd.h"

enum { INPUT_BYTES = 128 * 1024, OUTPUT_BYTES = 256 * 1024 };

/* One entry on its way: what was read and written so far. */
struct transfer {
    const struct bundle *bundle;
    const struct archive_entry *entry;
    disk_file file;
    uint64_t position_bytes; /* in the packed file */
    uint64_t left_bytes;     /* still to read there */
    uint64_t written_bytes;
    uint32_t crc32;
};

bool unpacker_open(struct unpacker *unpacker, struct failure *failure)
{
    *unpacker = (struct unpacker){
        .decoder = ZSTD_createDCtx(),
        .input = malloc(INPUT_BYTES),
        .output = malloc(OUTPUT_BYTES),
    };
    if (unpacker->decoder == NULL || unpacker->input == NULL || unpacker->output == NULL) {
        return fail(failure, FAILURE_MACHINE, "out of memory while unpacking; close other programs and try again");
    }
    return true;
}

void unpacker_close(struct unpacker *unpacker)
{
    ZSTD_freeDCtx(unpacker->decoder);
    free(unpacker->input);
    free(unpacker->output);
    *unpacker = (struct unpacker){0};
}

static bool entry_damaged(const struct transfer *transfer, struct failure *failure, const char *detail)
{
    return bundle_damaged(transfer->bundle, failure, "the entry " RUNTIME_PREFIX "%s %s", transfer->entry->path,
                          detail);
}

/* Read the next piece of stored data into `buffer`; `count` gets its length, 0 at the end. */
static bool read_piece(struct transfer *transfer, uint8_t *buffer, size_t buffer_bytes, size_t *count,
                       struct failure *failure)
{
    if (signals_pending() != 0) {
        return fail(failure, FAILURE_INTERRUPTED, "interrupted while unpacking");
    }
    *count = transfer->left_bytes < buffer_bytes ? (size_t)transfer->left_bytes : buffer_bytes;
    if (!bundle_read(transfer->bundle, buffer, *count, transfer->position_bytes, failure)) {
        return false;
    }
    transfer->position_bytes += *count;
    transfer->left_bytes -= *count;
    return true;
}

static bool write_piece(struct transfer *transfer, const uint8_t *data, size_t data_bytes, struct failure *failure)
{
    if (data_bytes > transfer->entry->size_bytes - transfer->written_bytes) {
        return entry_damaged(transfer, failure, "unpacks to more than its size");
    }
    disk_error error = file_write(transfer->file, data, data_bytes);
    if (error != 0) {
        return fail(failure, FAILURE_PLACE, "can't write %s: %s", transfer->entry->path, disk_error_text(error));
    }
    transfer->crc32 = crc32_update(transfer->crc32, data, data_bytes);
    transfer->written_bytes += data_bytes;
    return true;
}

static bool copy_stored(struct unpacker *unpacker, struct transfer *transfer, struct failure *failure)
{
    while (transfer->left_bytes > 0) {
        size_t count = 0;
        if (!read_piece(transfer, unpacker->input, INPUT_BYTES, &count, failure) ||
            !write_piece(transfer, unpacker->input, count, failure)) {
            return false;
        }
    }
    return true;
}

/* Decode all of `input`. `hint` gets zstd's return value: 0 when the frame is complete. */
static bool decode_piece(struct unpacker *unpacker, struct transfer *transfer, ZSTD_inBuffer *input, size_t *hint,
                         struct failure *failure)
{
    bool output_full = true;
    while (input->pos < input->size || (output_full && *hint != 0)) {
        if (*hint == 0) {
            return entry_damaged(transfer, failure, "holds more than one zstd frame");
        }
        ZSTD_outBuffer output = {.dst = unpacker->output, .size = OUTPUT_BYTES};
        *hint = ZSTD_decompressStream(unpacker->decoder, &output, input);
        if (ZSTD_isError(*hint)) {
            return entry_damaged(transfer, failure, "can't be decompressed");
        }
        if (!write_piece(transfer, unpacker->output, output.pos, failure)) {
            return false;
        }
        output_full = output.pos == output.size;
    }
    return true;
}

static bool decode_zstandard(struct unpacker *unpacker, struct transfer *transfer, struct failure *failure)
{
    ZSTD_DCtx_reset(unpacker->decoder, ZSTD_reset_session_only);
    size_t hint = 1;
    for (bool first = true; transfer->left_bytes > 0; first = false) {
        ZSTD_inBuffer input = {.src = unpacker->input};
        if (!read_piece(transfer, unpacker->input, INPUT_BYTES, &input.size, failure)) {
            return false;
        }
        if (first && ZSTD_getFrameContentSize(input.src, input.size) != transfer->entry->size_bytes) {
            return entry_damaged(transfer, failure, "declares another size in its zstd frame");
        }
        if (!decode_piece(unpacker, transfer, &input, &hint, failure)) {
            return false;
        }
    }
    return hint == 0 || entry_damaged(transfer, failure, "ends in the middle of its zstd frame");
}

/* Check what was written, set the permissions and start writing the file back to the disk. */
static bool finish_file(const struct transfer *transfer, struct failure *failure)
{
    const struct archive_entry *entry = transfer->entry;
    if (transfer->written_bytes != entry->size_bytes) {
        return entry_damaged(transfer, failure, "unpacks to less than its size");
    }
    if (transfer->crc32 != entry->crc32) {
        return entry_damaged(transfer, failure, "has the wrong checksum (CRC-32)");
    }
    disk_error error = file_finish(transfer->file, entry->executable);
    return error == 0 ||
           fail(failure, FAILURE_PLACE, "can't finish %s: %s", entry->path, disk_error_text(error));
}

bool unpack_entry(struct unpacker *unpacker, const struct bundle *bundle, const struct archive *archive,
                  const struct archive_entry *entry, const struct directory *root, struct failure *failure)
{
    bool done = false;
    struct transfer transfer = {
        .bundle = bundle, .entry = entry, .file = DISK_FILE_NONE, .left_bytes = entry->stored_bytes};
    if (!archive_data_offset(bundle, archive, entry, &transfer.position_bytes, failure)) {
        goto cleanup;
    }
    disk_error error = file_create(root, entry->path, &transfer.file);
    if (disk_error_is_taken(error)) { /* the directory was empty before */
        entry_damaged(&transfer, failure, "appears twice, or as a file and as a directory");
        goto cleanup;
    }
    if (error != 0) {
        fail(failure, FAILURE_PLACE, "can't create %s: %s", entry->path, disk_error_text(error));
        goto cleanup;
    }
    done = (entry->method == METHOD_STORED ? copy_stored(unpacker, &transfer, failure)
                                           : decode_zstandard(unpacker, &transfer, failure)) &&
           finish_file(&transfer, failure);
cleanup:
    error = transfer.file != DISK_FILE_NONE ? file_close(transfer.file) : 0;
    if (done && error != 0) {
        done = fail(failure, FAILURE_PLACE, "can't write %s: %s", entry->path, disk_error_text(error));
    }
    return done;
}
