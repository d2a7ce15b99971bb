/*
 * Linux: environment, C library and arguments of the runtime, then execve; see execute.h.
 */
#include "launcher.h"
#include "execute.h"
#include "libc_choice_linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_NAME "chat"
/* Large allocations in pages of 2 MB, where the kernel gives them on advice: a step reads all weights, and with pages
 * of 4 KB a tenth of its time and more goes into looking up addresses. Read by glibc 2.35 and newer at its start. */
#define HUGE_PAGES "glibc.malloc.hugetlb=1"
#define HUGE_PAGES_NAME "glibc.malloc.hugetlb="

static bool set_variable(const char *name, const char *value, struct failure *failure)
{
    return setenv(name, value, 1) == 0 || fail(failure, FAILURE_MACHINE, "can't set %s: %s", name, strerror(errno));
}

/* Keep what the user had set, if anything, for programs that the runtime starts. */
static bool keep_original(const char *original_name, const char *before, struct failure *failure)
{
    return before == NULL ? unsetenv(original_name) == 0 : set_variable(original_name, before, failure);
}

/* Point the dynamic loader at our libraries. */
static bool set_library_path(const char *runtime_path, enum libc_choice choice, struct failure *failure)
{
    const char *before = getenv("LD_LIBRARY_PATH");
    if (!keep_original("PACKER_ORIG_LD_LIBRARY_PATH", before, failure)) {
        return false;
    }
    bool keep = choice == LIBC_HOST && before != NULL && before[0] != '\0';
    char *library_path = format_text("%s/%s%s%s", runtime_path, choice == LIBC_HOST ? "lib" : "libc", keep ? ":" : "",
                                     keep ? before : "");
    bool done = set_variable("LD_LIBRARY_PATH", library_path, failure);
    free(library_path);
    return done;
}

/* Ask glibc's allocator for huge pages, unless the user has decided about them. */
static bool set_tunables(struct failure *failure)
{
    const char *before = getenv("GLIBC_TUNABLES");
    if (!keep_original("PACKER_ORIG_GLIBC_TUNABLES", before, failure)) {
        return false;
    }
    if (before != NULL && strstr(before, HUGE_PAGES_NAME) != NULL) {
        return true;
    }
    bool alone = before == NULL || before[0] == '\0';
    char *tunables = format_text("%s%s%s", alone ? "" : before, alone ? "" : ":", HUGE_PAGES);
    bool done = set_variable("GLIBC_TUNABLES", tunables, failure);
    free(tunables);
    return done;
}

static bool set_environment(const struct bundle *bundle, const char *runtime_path, enum libc_choice choice,
                            struct failure *failure)
{
    /* Started by another PyInstaller program, our bootloader must not take itself for a part of that one. */
    if (getenv("_PYI_ARCHIVE_FILE") != NULL && !set_variable("PYINSTALLER_RESET_ENVIRONMENT", "1", failure)) {
        return false;
    }
    char *times = clock_text();
    bool done = set_variable("PACKER_STARTED_MS", times, failure);
    free(times);
    return done && set_variable("PACKER_BUNDLE", bundle->path, failure) &&
           set_variable("PACKER_CACHE_ENTRY", runtime_path, failure) &&
           set_variable("PACKER_LIBC", libc_choice_name(choice), failure) &&
           set_tunables(failure) && set_library_path(runtime_path, choice, failure);
}

bool execute_runtime(const struct bundle *bundle, const char *runtime_path, int num_arguments, char *const *arguments,
                     struct failure *failure)
{
    enum libc_choice choice = libc_choose(runtime_path);
    trace("using the %s C library", libc_choice_name(choice));
    char *program = format_text("%s/" PROGRAM_NAME, runtime_path);
    char *loader = format_text("%s/" CARRIED_LOADER, runtime_path);
    char **handed = allocate((size_t)num_arguments + 3, sizeof *handed);
    const char *executed = program;
    size_t num_handed = 0;
    if (choice == LIBC_CARRIED && !bundle->path_from_proc) {
        fail(failure, FAILURE_MACHINE,
             "%s needs /proc to run with its own C library. Mount it: mount -t proc proc /proc", bundle->path);
        goto cleanup;
    }
    if (!set_environment(bundle, runtime_path, choice, failure)) {
        goto cleanup;
    }
    if (choice == LIBC_CARRIED) {
        /* PyInstaller's bootloader, run by a loader, takes argv[0] for its own file: no --argv0 here. */
        executed = loader;
        handed[num_handed++] = loader;
        handed[num_handed++] = program;
    } else {
        handed[num_handed++] = bundle->path_from_proc ? bundle->path : program;
    }
    for (int i = 1; i < num_arguments; i++) {
        handed[num_handed++] = arguments[i];
    }
    trace("executing %s", executed);
    execv(executed, handed);
    fail(failure, FAILURE_MACHINE,
         "can't start %s: %s. If a security policy forbids programs there, name another directory with "
         "PACKER_CACHE_DIR; if the file is broken, delete %s and start again.",
         executed, strerror(errno), runtime_path);
cleanup:
    free(handed);
    free(loader);
    free(program);
    return false;
}
