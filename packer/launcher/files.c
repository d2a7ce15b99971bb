/*
 * Directory trees through descriptors, never following a symbolic link; see files.h.
 */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 512 + 8 }; /* an entry path of 1024 bytes has at most 512 components */
static const int open_directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int files_make_parents(int root, const char *path)
{
    int error = 0;
    char *copy = strdup(path);
    if (copy == NULL) {
        return ENOMEM;
    }
    for (char *slash = strchr(copy, '/'); slash != NULL && error == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(root, copy, 0755) != 0 && errno != EEXIST) {
            error = errno;
        }
        *slash = '/';
    }
    free(copy);
    return error;
}

int files_make_directories(const char *path)
{
    int error = 0;
    char *copy = strdup(path);
    if (copy == NULL) {
        return ENOMEM;
    }
    for (char *slash = strchr(copy + 1, '/'); error == 0; slash = strchr(slash + 1, '/')) {
        if (slash != NULL) {
            *slash = '\0';
        }
        /* A directory that is there may lie in a read-only one: EROFS and EACCES come before EEXIST. */
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            struct stat found;
            error = errno;
            if (stat(copy, &found) == 0 && S_ISDIR(found.st_mode)) {
                error = 0;
            }
        }
        if (slash == NULL) {
            break;
        }
        *slash = '/';
    }
    free(copy);
    return error;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Open the directory `name` for listing; returns NULL with errno set. */
static DIR *open_listing(int parent, const char *name)
{
    int descriptor = openat(parent, name, open_directory_flags);
    if (descriptor < 0) {
        return NULL;
    }
    DIR *listing = fdopendir(descriptor);
    if (listing == NULL) {
        int error = errno;
        close(descriptor);
        errno = error;
    }
    return listing;
}

static int remove_tree(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    int first_error = errno;
    if ((first_error != EISDIR && first_error != EPERM) || depth > MAX_DEPTH) {
        return first_error;
    }
    fchmodat(parent, name, 0700, 0); /* whoever took away the write permission, it is ours to remove */
    DIR *listing = open_listing(parent, name);
    if (listing == NULL) {
        return errno == ENOTDIR ? first_error : errno;
    }
    int error = 0;
    struct dirent *child;
    while (error == 0 && (child = readdir(listing)) != NULL) {
        if (!is_dot(child->d_name)) {
            error = remove_tree(dirfd(listing), child->d_name, depth + 1);
        }
    }
    closedir(listing);
    if (error == 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        error = errno;
    }
    return error;
}

int files_remove_tree(int parent, const char *name)
{
    return remove_tree(parent, name, 0);
}

int files_sync(int descriptor)
{
    bool lost = fsync(descriptor) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT);
    return lost ? errno : 0;
}

static int sync_directories(int parent, const char *name, int depth)
{
    DIR *listing = depth > MAX_DEPTH ? NULL : open_listing(parent, name);
    if (listing == NULL) {
        return errno;
    }
    int error = 0;
    struct dirent *child;
    while (error == 0 && (child = readdir(listing)) != NULL) {
        struct stat found;
        if (!is_dot(child->d_name) && fstatat(dirfd(listing), child->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(found.st_mode)) {
            error = sync_directories(dirfd(listing), child->d_name, depth + 1);
        }
    }
    if (error == 0) {
        error = files_sync(dirfd(listing));
    }
    closedir(listing);
    return error;
}

int files_sync_directories(int parent, const char *name)
{
    return sync_directories(parent, name, 0);
}

int files_write(int descriptor, const uint8_t *data, size_t data_bytes)
{
    while (data_bytes > 0) {
        ssize_t written = write(descriptor, data, data_bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? errno : EIO;
        }
        data += written;
        data_bytes -= (size_t)written;
    }
    return 0;
}
