/*
 * Feeds many damaged versions of one packed file to the launcher's reader within one process (built with sanitizers).
 *
 * Usage: archive_driver FILE DIRECTORY. FILE is a scratch copy, DIRECTORY a scratch directory. Each line of standard
 * input is a case: pairs "OFFSET VALUE" (set bytes) or a single "cut LENGTH". For each case one line is printed: "ok",
 * or the failure's kind as a number and its text. The damage is undone before the next case.
 */
#include "launcher.h"
#include "archive.h"
#include "bundle.h"
#include "crc32.h"
#include "disk.h"
#include "unpack.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_CHANGES = 128 };

/* Read the archive and unpack all of it into a fresh directory, as the launcher would. */
static void run_case(const char *path, int descriptor, const struct directory *scratch)
{
    struct failure failure = {.kind = FAILURE_NONE};
    struct archive archive = {0};
    struct stat status;
    fstat(descriptor, &status);
    struct bundle bundle = {
        .path = strdup(path), .file = dup(descriptor), .size_bytes = (uint64_t)status.st_size};
    struct directory *root = NULL;
    directory_make(scratch, "case");
    directory_open_child(scratch, "case", &root);
    if (archive_open(&bundle, &archive, &failure)) {
        struct unpacker unpacker;
        bool going = unpacker_open(&unpacker, &failure);
        for (size_t i = 0; i < archive.num_entries && going; i++) {
            const struct archive_entry *entry = &archive.entries[i];
            directory_make_parents(root, entry->path);
            going = unpack_entry(&unpacker, &bundle, &archive, entry, root, &failure);
        }
        unpacker_close(&unpacker);
    }
    if (failure.kind == FAILURE_NONE) {
        printf("ok\n");
    } else {
        printf("%d %s\n", (int)failure.kind, failure.text);
    }
    directory_close(root);
    directory_remove(scratch, "case");
    failure_clear(&failure);
    archive_close(&archive);
    bundle_close(&bundle);
}

static void run_cut(const char *path, int descriptor, const struct directory *scratch, off_t length)
{
    struct stat status;
    fstat(descriptor, &status);
    size_t lost_bytes = (size_t)(status.st_size - length);
    char *lost = malloc(lost_bytes);
    if (pread(descriptor, lost, lost_bytes, length) != (ssize_t)lost_bytes || ftruncate(descriptor, length) != 0) {
        abort();
    }
    run_case(path, descriptor, scratch);
    if (pwrite(descriptor, lost, lost_bytes, length) != (ssize_t)lost_bytes) {
        abort();
    }
    free(lost);
}

static void run_changes(const char *path, int descriptor, const struct directory *scratch, char *line)
{
    long long offsets[MAX_CHANGES];
    uint8_t before[MAX_CHANGES];
    int num_changes = 0;
    char *rest = line;
    while (num_changes < MAX_CHANGES && *rest != '\n' && *rest != '\0') {
        offsets[num_changes] = strtoll(rest, &rest, 10);
        uint8_t value = (uint8_t)strtol(rest, &rest, 10);
        if (pread(descriptor, &before[num_changes], 1, offsets[num_changes]) != 1 ||
            pwrite(descriptor, &value, 1, offsets[num_changes]) != 1) {
            abort();
        }
        num_changes++;
    }
    run_case(path, descriptor, scratch);
    while (num_changes-- > 0) {
        if (pwrite(descriptor, &before[num_changes], 1, offsets[num_changes]) != 1) {
            abort();
        }
    }
}

int main(int num_arguments, char **arguments)
{
    char line[4096];
    if (num_arguments != 3) {
        return 2;
    }
    int descriptor = open(arguments[1], O_RDWR | O_CLOEXEC);
    struct directory *scratch = NULL;
    if (directory_open(arguments[2], &scratch) != 0) {
        return 1;
    }
    crc32_prepare();
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "cut ", 4) == 0) {
            run_cut(arguments[1], descriptor, scratch, strtoll(line + 4, NULL, 10));
        } else {
            run_changes(arguments[1], descriptor, scratch, line);
        }
    }
    close(descriptor);
    directory_close(scratch);
    return 0;
}
