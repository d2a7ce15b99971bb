/*
 * Linux: candidate cache directories from the environment and the user database, and their checks; see places.h.
 */
#include "launcher.h"
#include "places.h"
#include "disk_linux.h"
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Add a candidate below the directory that an environment variable names, if it is absolute. */
static struct place *add_from_environment(struct places *places, const char *variable, const char *below)
{
    const char *value = environment_text(variable);
    return value != NULL && value[0] == '/' ? places_add(places, format_text("%s", value), below) : NULL;
}

static void add_beside_bundle(const struct bundle *bundle, struct places *places)
{
    const char *slash = strrchr(bundle->path, '/');
    int directory_bytes = slash == NULL || slash == bundle->path ? 1 : (int)(slash - bundle->path);
    places_add(places, format_text("%.*s", directory_bytes, slash == NULL ? "." : bundle->path), "." CACHE_NAME);
}

void places_list(const struct bundle *bundle, struct places *places)
{
    *places = (struct places){.num_places = 0};
    if (places_add_chosen(places)) {
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
        places_add(places, home, ".cache/" CACHE_NAME);
    }
    static const char *const shared_directories[] = {"/var/tmp", "/tmp"};
    char *own_name = format_text(CACHE_NAME "-%lu", (unsigned long)geteuid());
    for (size_t i = 0; i < sizeof shared_directories / sizeof shared_directories[0]; i++) {
        places_add(places, format_text("%s", shared_directories[i]), own_name)->shared = true;
    }
    free(own_name);
    add_from_environment(places, "XDG_RUNTIME_DIR", CACHE_NAME);
    add_beside_bundle(bundle, places);
}

/* Create the cache directory where that is our business. */
static bool create_directory(struct place *place)
{
    struct stat parent;
    if (place->parent != NULL && (stat(place->parent, &parent) != 0 || !S_ISDIR(parent.st_mode))) {
        return place_reject(place, "there is no directory %s", place->parent);
    }
    disk_error error = directory_make_all(place->path);
    return error == 0 || place_reject(place, "can't be created: %s", disk_error_text(error));
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

struct directory *place_open(struct place *place, bool create)
{
    if (place->reason != NULL || !check_path(place) || (create && !create_directory(place))) {
        return NULL;
    }
    int follow = place->shared ? O_NOFOLLOW : 0;
    int directory = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
    if (directory < 0) {
        if (errno != ENOENT || create) {
            place_reject(place, errno == ELOOP ? "is a symbolic link (%s)" : "can't be opened: %s", strerror(errno));
        }
        return NULL;
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
        return NULL;
    }
    return directory_from_descriptor(directory);
}

bool place_allows_execution(struct place *place, const struct file_lock *lock)
{
    enum { PROBE_BYTES = 4096 };
    void *probe = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, (int)lock->file, 0);
    if (probe != MAP_FAILED) {
        munmap(probe, PROBE_BYTES);
        return true;
    }
    return (errno != EPERM && errno != EACCES) ||
           place_reject(place, "programs can't run from it: %s", strerror(errno));
}

bool place_has_room(struct place *place, const struct directory *directory, uint64_t size_bytes, uint64_t num_files)
{
    struct statvfs system;
    if (fstatvfs(directory->descriptor, &system) != 0 || system.f_blocks == 0) {
        return true; /* unknown: writing will tell */
    }
    uint64_t block_bytes = system.f_frsize != 0 ? system.f_frsize : system.f_bsize;
    uint64_t free_bytes = 0;
    if (__builtin_mul_overflow((uint64_t)system.f_bavail, block_bytes, &free_bytes)) {
        free_bytes = UINT64_MAX;
    }
    if (!place_room_suffices(place, free_bytes, place_needed_bytes(size_bytes, num_files, block_bytes))) {
        return false;
    }
    if (system.f_files != 0 && system.f_favail < num_files) {
        return place_reject(place, "its disk has no room for %" PRIu64 " more files", num_files);
    }
    return true;
}
