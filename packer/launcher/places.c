/*
 * Which directories may hold the cache, and what is wrong with each; see places.h.
 */
#include "launcher.h"
#include "places.h"
#include "files.h"
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CACHE_NAME "packer-runtimes"
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

/* Add a candidate below `parent` (taken over) unless it is listed already. */
static struct place *add_place(struct places *places, char *parent, const char *below)
{
    char *path = format_text("%s%s%s", parent, parent[strlen(parent) - 1] == '/' ? "" : "/", below);
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

/* Add a candidate below the directory that an environment variable names, if it is absolute. */
static struct place *add_from_environment(struct places *places, const char *variable, const char *below)
{
    const char *value = environment_text(variable);
    return value != NULL && value[0] == '/' ? add_place(places, format_text("%s", value), below) : NULL;
}

/* $PACKER_CACHE_DIR excludes every other place, also when it is unusable. */
static void add_chosen(struct places *places, const char *chosen)
{
    struct place *place = &places->items[places->num_places++];
    *place = (struct place){.path = format_text("%s", chosen), .any_owner = true};
    if (chosen[0] != '/') {
        place_reject(place, "PACKER_CACHE_DIR must be an absolute path");
    }
}

static void add_beside_bundle(const struct bundle *bundle, struct places *places)
{
    const char *slash = strrchr(bundle->path, '/');
    int directory_bytes = slash == NULL || slash == bundle->path ? 1 : (int)(slash - bundle->path);
    add_place(places, format_text("%.*s", directory_bytes, slash == NULL ? "." : bundle->path), "." CACHE_NAME);
}

void places_list(const struct bundle *bundle, struct places *places)
{
    *places = (struct places){.num_places = 0};
    const char *chosen = environment_text("PACKER_CACHE_DIR");
    if (chosen != NULL) {
        add_chosen(places, chosen);
        return;
    }
    struct place *place = add_from_environment(places, "XDG_CACHE_HOME", CACHE_NAME);
    if (place != NULL) {
        free(place->parent);
        place->parent = NULL; /* the XDG base directory specification says to create it */
    }
    add_from_environment(places, "HOME", ".cache/" CACHE_NAME);
    char *home = platform_home_directory();
    if (home != NULL) {
        add_place(places, home, ".cache/" CACHE_NAME);
    }
    static const char *const shared_directories[] = {"/var/tmp", "/tmp"};
    char *own_name = format_text(CACHE_NAME "-%lu", (unsigned long)geteuid());
    for (size_t i = 0; i < sizeof shared_directories / sizeof shared_directories[0]; i++) {
        add_place(places, format_text("%s", shared_directories[i]), own_name)->shared = true;
    }
    free(own_name);
    add_from_environment(places, "XDG_RUNTIME_DIR", CACHE_NAME);
    add_beside_bundle(bundle, places);
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

/* Create the cache directory where that is our business. */
static bool create_directory(struct place *place)
{
    struct stat parent;
    if (place->parent != NULL && (stat(place->parent, &parent) != 0 || !S_ISDIR(parent.st_mode))) {
        return place_reject(place, "there is no directory %s", place->parent);
    }
    int error = files_make_directories(place->path);
    return error == 0 || place_reject(place, "can't be created: %s", strerror(error));
}

/* Nobody but us (or root) may be able to put programs into a directory that we execute from. */
static bool check_owner(struct place *place, const struct stat *found)
{
    bool ours = found->st_uid == geteuid();
    if (!place->any_owner && !ours && (place->shared || found->st_uid != 0)) {
        return place_reject(place, "belongs to another user (uid %lu)", (unsigned long)found->st_uid);
    }
    if (place->shared && (found->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return place_reject(place, "other users can write to it; run: chmod go-w '%s'", place->path);
    }
    return true;
}

/* LD_LIBRARY_PATH, through which the runtime finds its libraries, has no way to quote its separators. */
static bool check_path(struct place *place)
{
    return strpbrk(place->path, ":;") == NULL ||
           place_reject(place, "programs can't load libraries from a path with ':' or ';' in it");
}

int place_open(struct place *place, bool create)
{
    if (place->reason != NULL || !check_path(place) || (create && !create_directory(place))) {
        return -1;
    }
    int follow = place->shared ? O_NOFOLLOW : 0;
    int directory = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
    if (directory < 0) {
        if (errno != ENOENT || create) {
            place_reject(place, errno == ELOOP ? "is a symbolic link (%s)" : "can't be opened: %s", strerror(errno));
        }
        return -1;
    }
    struct stat found;
    struct statvfs system;
    if (fstat(directory, &found) != 0) {
        place_reject(place, "can't be examined: %s", strerror(errno));
    } else if (check_owner(place, &found) && fstatvfs(directory, &system) == 0 && (system.f_flag & ST_NOEXEC) != 0) {
        place_reject(place, "its file system is mounted noexec: programs can't run from it");
    }
    if (place->reason != NULL) {
        close(directory);
        return -1;
    }
    return directory;
}

bool place_has_room(struct place *place, int directory, uint64_t size_bytes, uint64_t num_files)
{
    struct statvfs system;
    if (fstatvfs(directory, &system) != 0 || system.f_blocks == 0) {
        return true; /* unknown: writing will tell */
    }
    uint64_t block_bytes = system.f_frsize != 0 ? system.f_frsize : system.f_bsize;
    uint64_t free_bytes = 0;
    if (__builtin_mul_overflow((uint64_t)system.f_bavail, block_bytes, &free_bytes)) {
        free_bytes = UINT64_MAX;
    }
    uint64_t needed_bytes = 0;
    if (__builtin_add_overflow(size_bytes, num_files * block_bytes + MARGIN_BYTES, &needed_bytes)) {
        needed_bytes = UINT64_MAX;
    }
    if (free_bytes < needed_bytes) {
        return place_reject(place, "its disk has %" PRIu64 " MB free, %" PRIu64 " MB are needed", free_bytes / 1000000,
                            (needed_bytes + 999999) / 1000000);
    }
    if (system.f_files != 0 && system.f_favail < num_files) {
        return place_reject(place, "its disk has no room for %" PRIu64 " more files", num_files);
    }
    return true;
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
         "Name one with PACKER_CACHE_DIR, for example: PACKER_CACHE_DIR=/some/writable/directory '%s'",
         (size_bytes + 999999) / 1000000, list, bundle->path);
    free(list);
    return false;
}
