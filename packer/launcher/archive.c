/*
 * Finding the archive and reading its central directory; see archive.h.
 */
#include "archive.h"
#include "crc32.h"
#include "entry_path.h"
#include "pe_signature.h"
#include "zip_records.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIRECTORY_BYTES (64U * 1024U * 1024U)

static const char runtime_prefix[] = RUNTIME_PREFIX;
enum { RUNTIME_PREFIX_BYTES = sizeof runtime_prefix - 1, RUNTIME_ID_BYTES = RUNTIME_ID_DIGITS + 1 };

/* Where the central directory is, as the end records say. */
struct trailer {
    uint64_t num_entries;
    uint64_t directory_offset_bytes;
    uint64_t directory_bytes;
};

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* Check that the end record repeats what the ZIP64 end record says, as far as its fields reach. */
static bool end_record_agrees(const uint8_t *end, const struct trailer *trailer)
{
    uint64_t shown_entries = at_most(trailer->num_entries, UINT16_MAX);
    return little16(end + 4) == 0 && little16(end + 6) == 0 && little16(end + 8) == shown_entries &&
           little16(end + 10) == shown_entries &&
           little32(end + 12) == at_most(trailer->directory_bytes, UINT32_MAX) &&
           little32(end + 16) == at_most(trailer->directory_offset_bytes, UINT32_MAX) && little16(end + 20) == 0;
}

/*
 * Read the 98 bytes that end the archive, and where they start. They end the file, or stand before the signature of a
 * signed PE file, up to seven zeros between them.
 */
static bool find_trailer(const struct bundle *bundle, uint8_t bytes[TRAILER_BYTES], uint64_t *offset_bytes,
                         struct failure *failure)
{
    uint64_t end_bytes = 0;
    if (!pe_signature_start(bundle, &end_bytes, failure)) {
        return false;
    }
    if (end_bytes < TRAILER_BYTES) {
        return bundle_damaged(bundle, failure, "it is cut short: only %" PRIu64 " bytes are left", end_bytes);
    }
    uint64_t max_padding = end_bytes == bundle->size_bytes ? 0 : PE_SIGNATURE_MAX_PADDING;
    for (uint64_t padding = 0; padding <= max_padding && padding <= end_bytes - TRAILER_BYTES; padding++) {
        *offset_bytes = end_bytes - padding - TRAILER_BYTES;
        if (!bundle_read(bundle, bytes, TRAILER_BYTES, *offset_bytes, failure)) {
            return false;
        }
        if (little32(bytes + ZIP64_END_BYTES + ZIP64_LOCATOR_BYTES) == END_SIGNATURE) {
            return true;
        }
        if (bytes[TRAILER_BYTES - 1] != 0) {
            break;
        }
    }
    return bundle_damaged(bundle, failure,
                          "it is cut short, or bytes were added: its %" PRIu64
                          " bytes don't finish with an archive's end record",
                          bundle->size_bytes);
}

/* Parse the end records. */
static bool read_trailer(const struct bundle *bundle, struct trailer *trailer, struct failure *failure)
{
    uint8_t bytes[TRAILER_BYTES];
    uint64_t zip64_end_offset = 0;
    if (!find_trailer(bundle, bytes, &zip64_end_offset, failure)) {
        return false;
    }
    const uint8_t *locator = bytes + ZIP64_END_BYTES;
    const uint8_t *end = locator + ZIP64_LOCATOR_BYTES;
    if (little32(locator) != ZIP64_LOCATOR_SIGNATURE || little32(locator + 4) != 0 ||
        little64(locator + 8) != zip64_end_offset || little32(locator + 16) != 1) {
        return bundle_damaged(bundle, failure, "its ZIP64 locator doesn't point at the record before it");
    }
    *trailer = (struct trailer){
        .num_entries = little64(bytes + 32),
        .directory_bytes = little64(bytes + 40),
        .directory_offset_bytes = little64(bytes + 48),
    };
    if (little32(bytes) != ZIP64_END_SIGNATURE || little64(bytes + 4) != ZIP64_END_BYTES - 12 ||
        little32(bytes + 16) != 0 || little32(bytes + 20) != 0 || little64(bytes + 24) != trailer->num_entries ||
        !end_record_agrees(end, trailer)) {
        return bundle_damaged(bundle, failure, "its end records contradict each other");
    }
    if (trailer->directory_offset_bytes > zip64_end_offset ||
        trailer->directory_bytes != zip64_end_offset - trailer->directory_offset_bytes ||
        trailer->directory_bytes > MAX_DIRECTORY_BYTES ||
        trailer->num_entries > trailer->directory_bytes / CENTRAL_RECORD_BYTES) {
        return bundle_damaged(bundle, failure, "its central directory isn't where the end records say");
    }
    return true;
}

/* Check that header, name and data lie before the central directory. */
static bool lies_before_directory(const struct archive *archive, const struct central_record *record)
{
    uint64_t limit = archive->directory_offset_bytes;
    uint64_t header_bytes = LOCAL_HEADER_BYTES + record->name_bytes;
    return record->header_offset_bytes <= limit && header_bytes <= limit - record->header_offset_bytes &&
           record->stored_bytes <= limit - record->header_offset_bytes - header_bytes;
}

/* What is wrong with a record of the runtime, or NULL. */
static const char *record_problem(const struct central_record *record)
{
    if (record->flags != FLAG_UTF8) {
        return "uses ZIP features that the format excludes (flags)";
    }
    if (record->method != METHOD_STORED && record->method != METHOD_ZSTANDARD) {
        return "uses an unknown compression method";
    }
    if (record->method == METHOD_STORED && record->stored_bytes != record->size_bytes) {
        return "is stored but has two different sizes";
    }
    if (record->made_by_system != MADE_ON_UNIX || (record->unix_mode & UNIX_TYPE_MASK) != UNIX_REGULAR_FILE) {
        return "isn't a regular file";
    }
    if (record->size_bytes > INT64_MAX) {
        return "has an impossible size";
    }
    return NULL;
}

/* Add a record of the runtime to `archive`; `path` has room for the name and a NUL. */
static bool add_entry(const struct bundle *bundle, struct archive *archive, const struct central_record *record,
                      char *path, struct failure *failure)
{
    size_t path_bytes = record->name_bytes - RUNTIME_PREFIX_BYTES;
    memcpy(path, record->name + RUNTIME_PREFIX_BYTES, path_bytes);
    path[path_bytes] = '\0';
    const char *problem = entry_path_problem(path, path_bytes);
    if (problem != NULL) {
        char shown[ENTRY_PATH_SHOWN_BYTES];
        entry_path_show(path, path_bytes, shown);
        return bundle_damaged(bundle, failure, "the entry " RUNTIME_PREFIX "%s %s", shown, problem);
    }
    problem = record_problem(record);
    if (problem != NULL) {
        return bundle_damaged(bundle, failure, "the entry " RUNTIME_PREFIX "%s %s", path, problem);
    }
    archive->entries[archive->num_entries++] = (struct archive_entry){
        .path = path,
        .method = record->method,
        .executable = (record->unix_mode & UNIX_EXECUTABLE) != 0,
        .crc32 = record->crc32,
        .stored_bytes = record->stored_bytes,
        .size_bytes = record->size_bytes,
        .header_offset_bytes = record->header_offset_bytes,
    };
    return true;
}

/* Walk all records of the central directory and keep those of this target's runtime. */
static bool parse_directory(const struct bundle *bundle, struct archive *archive, const struct trailer *trailer,
                            const uint8_t *directory, struct failure *failure)
{
    size_t left_bytes = (size_t)trailer->directory_bytes;
    char *path = archive->paths;
    for (uint64_t index = 0; index < trailer->num_entries; index++) {
        struct central_record record;
        const char *problem = zip_central_record(directory, left_bytes, &record);
        if (problem == NULL && !lies_before_directory(archive, &record)) {
            problem = "points outside the file";
        }
        if (problem != NULL) {
            return bundle_damaged(bundle, failure, "record %" PRIu64 " of its central directory %s", index, problem);
        }
        if (record.name_bytes > RUNTIME_PREFIX_BYTES &&
            memcmp(record.name, runtime_prefix, RUNTIME_PREFIX_BYTES) == 0) {
            if (!add_entry(bundle, archive, &record, path, failure)) {
                return false;
            }
            path += record.name_bytes - RUNTIME_PREFIX_BYTES + 1;
        }
        directory += record.record_bytes;
        left_bytes -= record.record_bytes;
    }
    if (left_bytes != 0) {
        return bundle_damaged(bundle, failure, "its central directory has %zu bytes too many", left_bytes);
    }
    return true;
}

/* Find runtime.id among the entries, read it, and check that it is 64 hexadecimal digits and a newline. */
static bool read_runtime_id(const struct bundle *bundle, struct archive *archive, struct failure *failure)
{
    const struct archive_entry *entry = archive->entries;
    const struct archive_entry *end = entry + archive->num_entries;
    while (entry < end && strcmp(entry->path, RUNTIME_ID_NAME) != 0) {
        entry++;
    }
    if (entry == end) {
        return fail(failure, FAILURE_MACHINE,
                    "%s holds no runtime for this machine (%s). Pack it again for this target.", bundle->path,
                    PACKER_TARGET);
    }
    uint64_t offset_bytes = 0;
    uint8_t text[RUNTIME_ID_BYTES] = {0};
    bool sizes_fit = entry->method == METHOD_STORED && entry->size_bytes == sizeof text;
    if (sizes_fit && (!archive_data_offset(bundle, archive, entry, &offset_bytes, failure) ||
                      !bundle_read(bundle, text, sizeof text, offset_bytes, failure))) {
        return false;
    }
    bool valid = sizes_fit && text[RUNTIME_ID_DIGITS] == '\n' && crc32_update(0, text, sizeof text) == entry->crc32;
    for (size_t i = 0; i < RUNTIME_ID_DIGITS; i++) {
        valid = valid && text[i] != '\0' && strchr("0123456789abcdef", text[i]) != NULL;
    }
    if (!valid) {
        return bundle_damaged(bundle, failure, "the entry " RUNTIME_PREFIX RUNTIME_ID_NAME
                                               " isn't 64 hexadecimal digits and a newline with the right checksum");
    }
    memcpy(archive->runtime_id, text, RUNTIME_ID_DIGITS);
    return true;
}

bool archive_open(const struct bundle *bundle, struct archive *archive, struct failure *failure)
{
    bool done = false;
    uint8_t *directory = NULL;
    struct trailer trailer = {0};
    *archive = (struct archive){0};
    if (!read_trailer(bundle, &trailer, failure)) {
        goto cleanup;
    }
    archive->directory_offset_bytes = trailer.directory_offset_bytes;
    directory = allocate((size_t)trailer.directory_bytes, 1);
    archive->entries = allocate((size_t)trailer.num_entries, sizeof *archive->entries);
    archive->paths = allocate((size_t)trailer.directory_bytes, 1); /* a record is longer than its path and a NUL */
    if (!bundle_read(bundle, directory, (size_t)trailer.directory_bytes, trailer.directory_offset_bytes, failure) ||
        !parse_directory(bundle, archive, &trailer, directory, failure) ||
        !read_runtime_id(bundle, archive, failure)) {
        goto cleanup;
    }
    done = true;
cleanup:
    free(directory);
    return done;
}

void archive_close(struct archive *archive)
{
    free(archive->entries);
    free(archive->paths);
    *archive = (struct archive){0};
}

/* Whether a local header, `name` and `extra` included, says the same as the central record of `entry`. */
static bool local_header_agrees(const uint8_t *header, const struct archive_entry *entry)
{
    size_t name_bytes = little16(header + 26);
    const uint8_t *name = header + LOCAL_HEADER_BYTES;
    uint64_t stored_bytes = little32(header + 18);
    uint64_t size_bytes = little32(header + 22);
    uint64_t *const values[] = {&size_bytes, &stored_bytes};
    return little16(header + 6) == FLAG_UTF8 && little16(header + 8) == entry->method &&
           little32(header + 14) == entry->crc32 && name_bytes == RUNTIME_PREFIX_BYTES + strlen(entry->path) &&
           memcmp(name, runtime_prefix, RUNTIME_PREFIX_BYTES) == 0 &&
           memcmp(name + RUNTIME_PREFIX_BYTES, entry->path, name_bytes - RUNTIME_PREFIX_BYTES) == 0 &&
           zip64_resolve(name + name_bytes, little16(header + 28), values, 2) && size_bytes == entry->size_bytes &&
           stored_bytes == entry->stored_bytes;
}

bool archive_data_offset(const struct bundle *bundle, const struct archive *archive, const struct archive_entry *entry,
                         uint64_t *data_offset_bytes, struct failure *failure)
{
    uint8_t header[LOCAL_HEADER_BYTES + RUNTIME_PREFIX_BYTES + ENTRY_PATH_MAX_BYTES + 64];
    uint64_t offset_bytes = entry->header_offset_bytes;
    if (!bundle_read(bundle, header, LOCAL_HEADER_BYTES, offset_bytes, failure)) {
        return false;
    }
    size_t more_bytes = (size_t)little16(header + 26) + little16(header + 28);
    if (little32(header) != LOCAL_SIGNATURE || more_bytes > sizeof header - LOCAL_HEADER_BYTES) {
        return bundle_damaged(bundle, failure, "the entry " RUNTIME_PREFIX "%s lacks its local header", entry->path);
    }
    if (!bundle_read(bundle, header + LOCAL_HEADER_BYTES, more_bytes, offset_bytes + LOCAL_HEADER_BYTES, failure)) {
        return false;
    }
    uint64_t data_offset = offset_bytes + LOCAL_HEADER_BYTES + more_bytes;
    if (!local_header_agrees(header, entry) || data_offset > archive->directory_offset_bytes ||
        entry->stored_bytes > archive->directory_offset_bytes - data_offset) {
        return bundle_damaged(bundle, failure,
                              "the local header of the entry " RUNTIME_PREFIX "%s contradicts the central directory",
                              entry->path);
    }
    *data_offset_bytes = data_offset;
    return true;
}
