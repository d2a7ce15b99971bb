/*
 * Completeness, locking, temporary directories and the final rename; see cache.h.
 */
#include "launcher.h"
#include "cache.h"
#include "files.h"
#include "lock.h"
#include "places.h"
#include "platform.h"
#include "prune.h"
#include "signals.h"
#include "unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 256, UNLOCKED_LITTER_AGE_S = 24 * 60 * 60, MAX_RENAMES = 3 };

/* One attempt to provide the runtime in one place. */
struct attempt {
    const struct bundle *bundle;
    const struct archive *archive;
    struct place *place;
    int directory; /* the open cache directory */
    struct file_lock lock;
};

/* Whether every file of the runtime is in the directory `name`, with its size and permission. */
static bool is_complete(const struct archive *archive, int directory, const char *name)
{
    int root = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        return false;
    }
    bool complete = true;
    for (size_t i = 0; i < archive->num_entries && complete; i++) {
        const struct archive_entry *entry = &archive->entries[i];
        struct stat found;
        complete = fstatat(root, entry->path, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(found.st_mode) &&
                   (uint64_t)found.st_size == entry->size_bytes &&
                   (!entry->executable || (found.st_mode & S_IXUSR) != 0);
        if (!complete) {
            trace("%s is missing or has changed", entry->path);
        }
    }
    close(root);
    return complete;
}

static uint64_t unpacked_bytes(const struct archive *archive)
{
    uint64_t sum_bytes = 0;
    for (size_t i = 0; i < archive->num_entries; i++) {
        if (__builtin_add_overflow(sum_bytes, archive->entries[i].size_bytes, &sum_bytes)) {
            return UINT64_MAX;
        }
    }
    return sum_bytes;
}

static void temporary_name(const struct archive *archive, char name[NAME_BYTES])
{
    uint64_t random = 0;
    platform_random(&random, sizeof random);
    snprintf(name, NAME_BYTES, "%s.tmp.%ld.%016llx", archive->runtime_id, (long)getpid(), (unsigned long long)random);
}

/* Remove what killed starts left behind. Without a lock it may be in use, so only what is a day old goes. */
static void remove_litter(const struct attempt *attempt)
{
    char prefix[NAME_BYTES];
    int prefix_bytes = snprintf(prefix, sizeof prefix, "%s.tmp.", attempt->archive->runtime_id);
    int descriptor = openat(attempt->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (listing == NULL) {
        return;
    }
    time_t now = time(NULL);
    struct dirent *item;
    while ((item = readdir(listing)) != NULL) {
        struct stat found;
        if (strncmp(item->d_name, prefix, (size_t)prefix_bytes) != 0 ||
            fstatat(attempt->directory, item->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (attempt->lock.held || now - found.st_mtime > UNLOCKED_LITTER_AGE_S) {
            trace("removing %s", item->d_name);
            files_remove_tree(attempt->directory, item->d_name);
        }
    }
    closedir(listing);
}

/* Move an incomplete runtime out of the way and remove it. */
static int remove_incomplete(const struct attempt *attempt)
{
    char aside[NAME_BYTES];
    temporary_name(attempt->archive, aside);
    if (renameat(attempt->directory, attempt->archive->runtime_id, attempt->directory, aside) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    return files_remove_tree(attempt->directory, aside);
}

/* Give the temporary directory its final name. Another copy may have been faster where there are no locks. */
static bool publish(const struct attempt *attempt, const char *temporary, struct failure *failure)
{
    const char *name = attempt->archive->runtime_id;
    int error = 0;
    for (int i = 0; i < MAX_RENAMES; i++) {
        if (renameat(attempt->directory, temporary, attempt->directory, name) == 0) {
            fsync(attempt->directory); /* where this is refused, the rename is as durable as it gets */
            return true;
        }
        error = errno;
        if (is_complete(attempt->archive, attempt->directory, name)) {
            files_remove_tree(attempt->directory, temporary);
            return true;
        }
        if (error != EEXIST && error != ENOTEMPTY && error != ENOTDIR) {
            break;
        }
        error = remove_incomplete(attempt);
        if (error != 0) {
            break;
        }
    }
    return fail(failure, FAILURE_PLACE, "can't rename %s to %s: %s", temporary, name, strerror(error));
}

/* Unpack into a temporary directory and publish it; whatever fails, the temporary directory goes. */
static bool unpack_and_publish(const struct attempt *attempt, struct failure *failure)
{
    bool done = false;
    char temporary[NAME_BYTES];
    temporary_name(attempt->archive, temporary);
    if (mkdirat(attempt->directory, temporary, 0755) != 0) {
        return fail(failure, FAILURE_PLACE, "can't be written to: %s", strerror(errno));
    }
    int root = openat(attempt->directory, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        fail(failure, FAILURE_PLACE, "can't be used: %s", strerror(errno));
        goto cleanup;
    }
    if (!unpack_all(attempt->bundle, attempt->archive, root, failure)) {
        goto cleanup;
    }
    int error = files_sync_directories(attempt->directory, temporary);
    if (error != 0) {
        fail(failure, FAILURE_PLACE, "can't be flushed to the disk: %s", strerror(error));
        goto cleanup;
    }
    done = publish(attempt, temporary, failure);
    trace("flushed and renamed");
cleanup:
    if (root >= 0) {
        close(root);
    }
    if (!done) {
        files_remove_tree(attempt->directory, temporary);
    }
    return done;
}

/* Some systems refuse to run programs without saying so in the mount flags: try to map a file for execution. */
static bool allows_execution(const struct attempt *attempt)
{
    enum { PROBE_BYTES = 4096 };
    void *probe = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, attempt->lock.descriptor, 0);
    if (probe != MAP_FAILED) {
        munmap(probe, PROBE_BYTES);
        return true;
    }
    return (errno != EPERM && errno != EACCES) ||
           place_reject(attempt->place, "programs can't run from it: %s", strerror(errno));
}

/* Check for room; an incomplete runtime makes some if need be. */
static bool make_room(const struct attempt *attempt)
{
    uint64_t size_bytes = unpacked_bytes(attempt->archive);
    struct place *place = attempt->place;
    if (place_has_room(place, attempt->directory, size_bytes, attempt->archive->num_entries)) {
        return true;
    }
    if (faccessat(attempt->directory, attempt->archive->runtime_id, F_OK, AT_SYMLINK_NOFOLLOW) != 0 ||
        remove_incomplete(attempt) != 0) {
        return false;
    }
    free(place->reason);
    place->reason = NULL;
    return place_has_room(place, attempt->directory, size_bytes, attempt->archive->num_entries);
}

/* Provide the runtime in one place. Returns true when it is there; a failure that isn't the place's is in `failure`. */
static bool unpack_in_place(struct attempt *attempt, struct failure *failure)
{
    bool done = false;
    char lock_name[NAME_BYTES];
    snprintf(lock_name, sizeof lock_name, "%s.lock", attempt->archive->runtime_id);
    attempt->directory = place_open(attempt->place, true);
    if (attempt->directory < 0 || !lock_acquire(&attempt->lock, attempt->directory, lock_name, failure)) {
        goto cleanup;
    }
    trace("locked %s", attempt->place->path);
    if (is_complete(attempt->archive, attempt->directory, attempt->archive->runtime_id)) {
        done = true;
        goto cleanup;
    }
    remove_litter(attempt);
    done = allows_execution(attempt) && make_room(attempt) && unpack_and_publish(attempt, failure);
    if (done) {
        prune_unused(attempt->directory, attempt->archive->runtime_id);
    }
cleanup:
    lock_release(&attempt->lock);
    if (attempt->directory >= 0) {
        close(attempt->directory);
    }
    if (failure->kind == FAILURE_PLACE) {
        place_reject(attempt->place, "%s", failure->text != NULL ? failure->text : "out of memory");
        failure_clear(failure);
    }
    return done;
}

/* The place that holds the complete runtime already, or NULL. */
static struct place *find_complete(const struct archive *archive, struct places *places)
{
    for (size_t i = 0; i < places->num_places; i++) {
        int directory = place_open(&places->items[i], false);
        bool complete = directory >= 0 && is_complete(archive, directory, archive->runtime_id);
        if (complete) {
            prune_mark_used(directory, archive->runtime_id);
        }
        if (directory >= 0) {
            close(directory);
        }
        if (complete) {
            return &places->items[i];
        }
    }
    return NULL;
}

/* Unpack into the first place that takes it; NULL with a failure when there is none. */
static struct place *unpack_somewhere(const struct bundle *bundle, const struct archive *archive,
                                      struct places *places, struct failure *failure)
{
    struct place *found = NULL;
    mode_t umask_before = umask(0022);
    signals_catch();
    for (size_t i = 0; i < places->num_places && found == NULL && failure->kind == FAILURE_NONE; i++) {
        struct attempt attempt = {
            .bundle = bundle, .archive = archive, .place = &places->items[i], .directory = -1, .lock = {-1, false}};
        if (unpack_in_place(&attempt, failure)) {
            found = attempt.place;
        } else if (attempt.place->reason != NULL) {
            trace("%s: %s", attempt.place->path, attempt.place->reason);
        }
    }
    signals_release();
    umask(umask_before);
    if (signals_pending() != 0) {
        fail(failure, FAILURE_INTERRUPTED, "interrupted while unpacking");
    } else if (found == NULL && failure->kind == FAILURE_NONE) {
        places_exhausted(bundle, places, unpacked_bytes(archive), failure);
    }
    return failure->kind == FAILURE_NONE ? found : NULL;
}

bool cache_provide(const struct bundle *bundle, const struct archive *archive, char **runtime_path,
                   struct failure *failure)
{
    struct places places;
    places_list(bundle, &places);
    struct place *found = find_complete(archive, &places);
    if (found == NULL) {
        found = unpack_somewhere(bundle, archive, &places, failure);
    }
    if (found != NULL) {
        *runtime_path = format_text("%s/%s", found->path, archive->runtime_id);
    }
    places_free(&places);
    return found != NULL;
}
