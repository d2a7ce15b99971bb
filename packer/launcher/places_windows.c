/*
 * Windows: candidate cache directories from the environment and the user's own; see places.h.
 */
#include "launcher.h"
#include "places.h"
#include "directory_windows.h"
#include "platform.h"
#include "wide_windows.h"

#include <stdlib.h>
#include <string.h>

enum { CLUSTER_BYTES = 4096 };

/* Add a candidate below the directory that an environment variable names, if it is absolute. */
static void add_from_environment(struct places *places, const char *variable)
{
    const char *value = environment_text(variable);
    if (value != NULL && platform_is_absolute(value)) {
        places_add(places, format_text("%s", value), CACHE_NAME);
    }
}

void places_list(const struct bundle *bundle, struct places *places)
{
    *places = (struct places){.num_places = 0};
    if (places_add_chosen(places)) {
        return;
    }
    add_from_environment(places, "LOCALAPPDATA");
    char *home = platform_home_directory();
    if (home != NULL) {
        char *local = format_text("%s\\AppData\\Local", home);
        places_add(places, local, CACHE_NAME);
        free(home);
    }
    add_from_environment(places, "TEMP"); /* the user's own; nobody else can write to it */
    const char *separator = strrchr(bundle->path, '\\');
    int directory_bytes = separator != NULL ? (int)(separator - bundle->path) : 0;
    places_add(places, format_text("%.*s", directory_bytes, bundle->path), "." CACHE_NAME);
}

struct directory *place_open(struct place *place, bool create)
{
    if (place->reason != NULL) {
        return NULL;
    }
    disk_error error = 0;
    if (create) {
        struct directory *parent = NULL;
        if (place->parent != NULL && directory_open(place->parent, &parent) != 0) {
            place_reject(place, "there is no directory %s", place->parent);
            return NULL;
        }
        directory_close(parent);
        error = directory_make_all(place->path);
        if (error != 0) {
            place_reject(place, "can't be created: %s", disk_error_text(error));
            return NULL;
        }
    }
    struct directory *directory = NULL;
    error = directory_open(place->path, &directory);
    if (error != 0 && (create || !disk_error_is_missing(error))) {
        place_reject(place, "can't be opened: %s", disk_error_text(error));
    }
    return directory;
}

bool place_allows_execution(struct place *place, const struct file_lock *lock)
{
    (void)place; /* starting a program will tell; Windows has no mounts without execution */
    (void)lock;
    return true;
}

bool place_has_room(struct place *place, const struct directory *directory, uint64_t size_bytes, uint64_t num_files)
{
    ULARGE_INTEGER free_bytes;
    if (!GetDiskFreeSpaceExW(directory->path, &free_bytes, NULL, NULL)) {
        return true; /* unknown: writing will tell */
    }
    return place_room_suffices(place, free_bytes.QuadPart, place_needed_bytes(size_bytes, num_files, CLUSTER_BYTES));
}
