/*
 * Completeness, locking, temporary directories and the final rename; see cache.h.
 */
#include "launcher.h"
#include "cache.h"
#include "disk.h"
#include "lock.h"
#include "places.h"
#include "platform.h"
#include "prune.h"
#include "signals.h"
#include "unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 256, UNLOCKED_LITTER_AGE_S = 24 * 60 * 60, MAX_RENAMES = 3 };

/* One attempt to provide the runtime in one place. */
struct attempt {
    const struct bundle *bundle;
    const struct archive *archive;
    struct place *place;
    struct directory *directory; /* the open cache directory */
    struct file_lock lock;
};

/* Whether every file of the runtime is in the directory `name`, with its size and permission. */
static bool is_complete(const struct archive *archive, const struct directory *directory, const char *name)
{
    struct directory *root = NULL;
    if (directory_open_child(directory, name, &root) != 0) {
        return false;
    }
    bool complete = true;
    for (size_t i = 0; i < archive->num_entries && complete; i++) {
        const struct archive_entry *entry = &archive->entries[i];
        struct disk_facts found;
        complete = directory_look(root, entry->path, &found) && found.is_file &&
                   found.size_bytes == entry->size_bytes && (!entry->executable || found.is_executable);
        if (!complete) {
            trace("%s is missing or has changed", entry->path);
        }
    }
    directory_close(root);
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
    snprintf(name, NAME_BYTES, "%s.tmp.%lu.%016llx", archive->runtime_id, platform_process_id(),
             (unsigned long long)random);
}

/* Remove what killed starts left behind. Without a lock it may be in use, so only what is a day old goes. */
static void remove_litter(void *context, const char *name)
{
    const struct attempt *attempt = context;
    char prefix[NAME_BYTES];
    int prefix_bytes = snprintf(prefix, sizeof prefix, "%s.tmp.", attempt->archive->runtime_id);
    struct disk_facts found;
    if (strncmp(name, prefix, (size_t)prefix_bytes) == 0 && directory_look(attempt->directory, name, &found) &&
        (attempt->lock.held || found.age_s > UNLOCKED_LITTER_AGE_S)) {
        trace("removing %s", name);
        directory_remove(attempt->directory, name);
    }
}

/* Move an incomplete runtime out of the way and remove it. */
static disk_error remove_incomplete(const struct attempt *attempt)
{
    char aside[NAME_BYTES];
    temporary_name(attempt->archive, aside);
    disk_error error = directory_rename(attempt->directory, attempt->archive->runtime_id, aside);
    if (error != 0) {
        return disk_error_is_missing(error) ? 0 : error;
    }
    return directory_remove(attempt->directory, aside);
}

/* Give the temporary directory its final name. Another copy may have been faster where there are no locks. */
static bool publish(const struct attempt *attempt, const char *temporary, struct failure *failure)
{
    const char *name = attempt->archive->runtime_id;
    disk_error error = 0;
    for (int i = 0; i < MAX_RENAMES; i++) {
        error = directory_rename(attempt->directory, temporary, name);
        if (error == 0) {
            directory_flush(attempt->directory);
            return true;
        }
        if (is_complete(attempt->archive, attempt->directory, name)) {
            directory_remove(attempt->directory, temporary);
            return true;
        }
        if (!disk_error_is_taken(error)) {
            break;
        }
        error = remove_incomplete(attempt);
        if (error != 0) {
            break;
        }
    }
    return fail(failure, FAILURE_PLACE, "can't rename %s to %s: %s", temporary, name, disk_error_text(error));
}

/* Unpack into a temporary directory and publish it; whatever fails, the temporary directory goes. */
static bool unpack_and_publish(const struct attempt *attempt, struct failure *failure)
{
    bool done = false;
    char temporary[NAME_BYTES];
    temporary_name(attempt->archive, temporary);
    struct directory *root = NULL;
    disk_error error = directory_make(attempt->directory, temporary);
    if (error != 0) {
        return fail(failure, FAILURE_PLACE, "can't be written to: %s", disk_error_text(error));
    }
    error = directory_open_child(attempt->directory, temporary, &root);
    if (error != 0) {
        fail(failure, FAILURE_PLACE, "can't be used: %s", disk_error_text(error));
        goto cleanup;
    }
    if (!unpack_all(attempt->bundle, attempt->archive, root, failure)) {
        goto cleanup;
    }
    error = directory_flush_tree(attempt->directory, temporary);
    if (error != 0) {
        fail(failure, FAILURE_PLACE, "can't be flushed to the disk: %s", disk_error_text(error));
        goto cleanup;
    }
    directory_close(root); /* Windows doesn't rename an open directory */
    root = NULL;
    done = publish(attempt, temporary, failure);
    trace("flushed and renamed");
cleanup:
    directory_close(root);
    if (!done) {
        directory_remove(attempt->directory, temporary);
    }
    return done;
}

/* Check for room; an incomplete runtime makes some if need be. */
static bool make_room(const struct attempt *attempt)
{
    uint64_t size_bytes = unpacked_bytes(attempt->archive);
    struct place *place = attempt->place;
    if (place_has_room(place, attempt->directory, size_bytes, attempt->archive->num_entries)) {
        return true;
    }
    struct disk_facts found;
    if (!directory_look(attempt->directory, attempt->archive->runtime_id, &found) || remove_incomplete(attempt) != 0) {
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
    if (attempt->directory == NULL || !lock_acquire(&attempt->lock, attempt->directory, lock_name, failure)) {
        goto cleanup;
    }
    trace("locked %s", attempt->place->path);
    if (is_complete(attempt->archive, attempt->directory, attempt->archive->runtime_id)) {
        done = true;
        goto cleanup;
    }
    directory_visit(attempt->directory, remove_litter, attempt);
    done = place_allows_execution(attempt->place, &attempt->lock) && make_room(attempt) && unpack_and_publish(attempt, failure);
    if (done) {
        prune_unused(attempt->directory, attempt->archive->runtime_id);
    }
cleanup:
    lock_release(&attempt->lock);
    directory_close(attempt->directory);
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
        struct directory *directory = place_open(&places->items[i], false);
        bool complete = directory != NULL && is_complete(archive, directory, archive->runtime_id);
        if (complete) {
            prune_mark_used(directory, archive->runtime_id);
        }
        directory_close(directory);
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
    disk_begin_writing();
    signals_catch();
    for (size_t i = 0; i < places->num_places && found == NULL && failure->kind == FAILURE_NONE; i++) {
        struct attempt attempt = {
            .bundle = bundle, .archive = archive, .place = &places->items[i], .lock = {DISK_FILE_NONE, false}};
        if (unpack_in_place(&attempt, failure)) {
            found = attempt.place;
        } else if (attempt.place->reason != NULL) {
            trace("%s: %s", attempt.place->path, attempt.place->reason);
        }
    }
    signals_release();
    disk_end_writing();
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
        *runtime_path = format_text("%s%c%s", found->path, PLATFORM_SEPARATOR, archive->runtime_id);
    }
    places_free(&places);
    return found != NULL;
}
