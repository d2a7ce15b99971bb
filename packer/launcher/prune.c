/*
 * Marks runtimes as used and removes those that were not for long; see prune.h.
 */
#include "launcher.h"
#include "prune.h"
#include "disk.h"
#include "platform.h"

#include <stdio.h>
#include <string.h>

enum { DAY_S = 24 * 60 * 60, UNUSED_AGE_S = 90 * DAY_S, NAME_BYTES = 256 };

/* What the visit of a cache directory needs to know. */
struct pruning {
    const struct directory *directory;
    const char *keep;
};

void prune_mark_used(const struct directory *directory, const char *name)
{
    struct disk_facts found;
    if (directory_look(directory, name, &found) && found.age_s > DAY_S) {
        directory_touch(directory, name);
    }
}

/* Whether `name` is a runtime id: nothing else in the directory is touched. */
static bool is_runtime_id(const char *name)
{
    return strlen(name) == RUNTIME_ID_DIGITS && strspn(name, "0123456789abcdef") == RUNTIME_ID_DIGITS;
}

/* Move a runtime aside, so that no start finds it half removed, then remove it and its lock file. */
static void remove_runtime(const struct directory *directory, const char *name)
{
    char aside[NAME_BYTES];
    snprintf(aside, sizeof aside, "%.*s.tmp.%lu.unused", RUNTIME_ID_DIGITS, name, platform_process_id());
    if (directory_rename(directory, name, aside) != 0) {
        return;
    }
    trace("removing %s, unused for %d days", name, UNUSED_AGE_S / DAY_S);
    directory_remove(directory, aside);
    snprintf(aside, sizeof aside, "%.*s.lock", RUNTIME_ID_DIGITS, name);
    directory_remove(directory, aside);
}

static void prune_one(void *context, const char *name)
{
    const struct pruning *pruning = context;
    struct disk_facts found;
    if (is_runtime_id(name) && strcmp(name, pruning->keep) != 0 && directory_look(pruning->directory, name, &found) &&
        found.is_directory && found.age_s > UNUSED_AGE_S) {
        remove_runtime(pruning->directory, name);
    }
}

void prune_unused(const struct directory *directory, const char *keep)
{
    struct pruning pruning = {.directory = directory, .keep = keep};
    directory_visit(directory, prune_one, &pruning);
}
