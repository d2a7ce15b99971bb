/*
 * Compares the glibc that the runtime requires with the one this machine has; see libc_choice_linux.h.
 */
#include "launcher.h"
#include "libc_choice_linux.h"
#include "glibc_version_linux.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read <runtime>/requires-glibc. */
static bool required_version(const char *runtime_path, struct glibc_version *required)
{
    char text[32] = {0};
    char *path = format_text("%s/requires-glibc", runtime_path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor >= 0 ? read(descriptor, text, sizeof text - 1) : -1;
    if (descriptor >= 0) {
        close(descriptor);
    }
    free(path);
    return length > 0 && glibc_version_parse(text, required);
}

/* Version of libc.so.6 in a directory; a library of another kind there doesn't count. */
static bool version_in(const char *directory, struct glibc_version *version)
{
    char *path = format_text("%s/libc.so.6", directory);
    bool found = glibc_version_of_library(path, version);
    if (found) {
        trace("%s is glibc %lu.%lu", path, version->major, version->minor);
    }
    free(path);
    return found;
}

/* Version of the host's glibc: beside the loader that programs name, then in the usual places. */
static bool host_version(struct glibc_version *version)
{
    static const char *const directories[] = {
        "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
    };
    char loader[PATH_MAX];
    if (access(HOST_LOADER, X_OK) != 0 || realpath(HOST_LOADER, loader) == NULL) {
        return false; /* nothing could start a program that is linked against it */
    }
    *strrchr(loader, '/') = '\0';
    if (version_in(loader, version)) {
        return true;
    }
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        if (version_in(directories[i], version)) {
            return true;
        }
    }
    return false;
}

enum libc_choice libc_choose(const char *runtime_path)
{
    const char *forced = environment_text("PACKER_FORCE_LIBC");
    if (forced != NULL && strcmp(forced, "host") == 0) {
        return LIBC_HOST;
    }
    if (forced != NULL && strcmp(forced, "carried") == 0) {
        return LIBC_CARRIED;
    }
    char *carried_loader = format_text("%s/" CARRIED_LOADER, runtime_path);
    bool can_carry = access(carried_loader, X_OK) == 0;
    free(carried_loader);
    struct glibc_version required;
    struct glibc_version host;
    bool host_fits = required_version(runtime_path, &required) && host_version(&host) &&
                     glibc_version_reaches(&host, &required);
    return host_fits || !can_carry ? LIBC_HOST : LIBC_CARRIED;
}

const char *libc_choice_name(enum libc_choice choice)
{
    return choice == LIBC_HOST ? "host" : "carried";
}
