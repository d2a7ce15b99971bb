/*
 * Marks runtimes as used and removes those that were not for long; see prune.h.
 */
#include "launcher.h"
#include "prune.h"
#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY_S = 24 * 60 * 60, UNUSED_AGE_S = 90 * DAY_S, NAME_BYTES = 256 };

void prune_mark_used(int directory, const char *name)
{
    struct stat found;
    if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - found.st_mtime > DAY_S) {
        utimensat(directory, name, NULL, AT_SYMLINK_NOFOLLOW);
    }
}

/* Whether `name` is a runtime id: nothing else in the directory is touched. */
static bool is_runtime_id(const char *name)
{
    return strlen(name) == RUNTIME_ID_DIGITS && strspn(name, "0123456789abcdef") == RUNTIME_ID_DIGITS;
}

/* Move a runtime aside, so that no start finds it half removed, then remove it and its lock file. */
static void remove_runtime(int directory, const char *name)
{
    char aside[NAME_BYTES];
    snprintf(aside, sizeof aside, "%.*s.tmp.%ld.unused", RUNTIME_ID_DIGITS, name, (long)getpid());
    if (renameat(directory, name, directory, aside) != 0) {
        return;
    }
    trace("removing %s, unused for %d days", name, UNUSED_AGE_S / DAY_S);
    files_remove_tree(directory, aside);
    snprintf(aside, sizeof aside, "%.*s.lock", RUNTIME_ID_DIGITS, name);
    unlinkat(directory, aside, 0);
}

void prune_unused(int directory, const char *keep)
{
    int descriptor = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (listing == NULL) {
        return;
    }
    time_t now = time(NULL);
    struct dirent *item;
    while ((item = readdir(listing)) != NULL) {
        struct stat found;
        if (is_runtime_id(item->d_name) && strcmp(item->d_name, keep) != 0 &&
            fstatat(directory, item->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(found.st_mode) &&
            now - found.st_mtime > UNUSED_AGE_S) {
            remove_runtime(directory, item->d_name);
        }
    }
    closedir(listing);
}
