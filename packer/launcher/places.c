/*
 * The list of candidate cache directories, and what is wrong with each; see places.h.
 */
#include "launcher.h"
#include "places.h"
#include "platform.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_BYTES (1024U * 1024U)

bool place_reject(struct place *place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (place->reason == NULL && vasprintf(&place->reason, format, arguments) < 0) {
        place->reason = NULL;
    }
    va_end(arguments);
    return false;
}

struct place *places_add(struct places *places, char *parent, const char *below)
{
    char last = parent[0] != '\0' ? parent[strlen(parent) - 1] : '\0';
    bool separated = last == '/' || last == PLATFORM_SEPARATOR;
    char *path = format_text("%s%.*s%s", parent, separated ? 0 : 1, (const char[]){PLATFORM_SEPARATOR}, below);
    for (size_t i = 0; i < places->num_places; i++) {
        if (strcmp(places->items[i].path, path) == 0) {
            free(path);
            free(parent);
            return &places->items[i];
        }
    }
    struct place *place = &places->items[places->num_places++];
    *place = (struct place){.path = path, .parent = parent};
    return place;
}

bool places_add_chosen(struct places *places)
{
    const char *chosen = environment_text("PACKER_CACHE_DIR");
    if (chosen == NULL) {
        return false;
    }
    struct place *place = &places->items[places->num_places++];
    *place = (struct place){.path = format_text("%s", chosen), .any_owner = true};
    if (!platform_is_absolute(chosen)) {
        place_reject(place, "PACKER_CACHE_DIR must be an absolute path");
    }
    return true;
}

void places_free(struct places *places)
{
    for (size_t i = 0; i < places->num_places; i++) {
        free(places->items[i].path);
        free(places->items[i].parent);
        free(places->items[i].reason);
    }
    *places = (struct places){.num_places = 0};
}

uint64_t place_needed_bytes(uint64_t size_bytes, uint64_t num_files, uint64_t block_bytes)
{
    uint64_t needed_bytes = 0;
    return __builtin_add_overflow(size_bytes, num_files * block_bytes + MARGIN_BYTES, &needed_bytes) ? UINT64_MAX
                                                                                                     : needed_bytes;
}

bool place_room_suffices(struct place *place, uint64_t free_bytes, uint64_t needed_bytes)
{
    return free_bytes >= needed_bytes ||
           place_reject(place, "its disk has %" PRIu64 " MB free, %" PRIu64 " MB are needed", free_bytes / 1000000,
                        (needed_bytes + 999999) / 1000000);
}

bool places_exhausted(const struct bundle *bundle, const struct places *places, uint64_t size_bytes,
                      struct failure *failure)
{
    char *list = format_text("%s", "");
    for (size_t i = 0; i < places->num_places; i++) {
        const struct place *place = &places->items[i];
        char *longer = format_text("%s\n  %s: %s", list, place->path,
                                   place->reason != NULL ? place->reason : "out of memory");
        free(list);
        list = longer;
    }
    fail(failure, FAILURE_MACHINE,
         "found no directory for the runtime, which is unpacked once (%" PRIu64
         " MB) and must be allowed to run programs:%s\n"
         "Name one with PACKER_CACHE_DIR, for example: " PLATFORM_CACHE_EXAMPLE,
         (size_bytes + 999999) / 1000000, list, bundle->path);
    free(list);
    return false;
}
