/*
 * Linux: the disk through directory descriptors (openat and its kin); see disk.h.
 */
#include "launcher.h"
#include "disk.h"
#include "disk_linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 512 + 8 }; /* an entry path of 1024 bytes has at most 512 components */
static const int open_directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
static mode_t umask_before;

const char *disk_error_text(disk_error error)
{
    return strerror(error);
}

bool disk_error_is_missing(disk_error error)
{
    return error == ENOENT;
}

bool disk_error_is_taken(disk_error error)
{
    return error == EEXIST || error == ENOTEMPTY || error == ENOTDIR || error == EISDIR;
}

void disk_begin_writing(void)
{
    umask_before = umask(0022);
}

void disk_end_writing(void)
{
    umask(umask_before);
}

struct directory *directory_from_descriptor(int descriptor)
{
    struct directory *directory = allocate(1, sizeof *directory);
    directory->descriptor = descriptor;
    return directory;
}

/* Wrap a descriptor that open() or openat() returned. */
static disk_error opened(int descriptor, struct directory **directory)
{
    if (descriptor < 0) {
        return errno;
    }
    *directory = directory_from_descriptor(descriptor);
    return 0;
}

disk_error directory_open(const char *path, struct directory **directory)
{
    return opened(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), directory);
}

disk_error directory_open_child(const struct directory *parent, const char *name, struct directory **child)
{
    return opened(openat(parent->descriptor, name, open_directory_flags), child);
}

void directory_close(struct directory *directory)
{
    if (directory != NULL) {
        close(directory->descriptor);
        free(directory);
    }
}

disk_error directory_make(const struct directory *parent, const char *name)
{
    return mkdirat(parent->descriptor, name, 0755) == 0 ? 0 : errno;
}

disk_error directory_make_parents(const struct directory *root, const char *path)
{
    int error = 0;
    char *copy = strdup(path);
    if (copy == NULL) {
        return ENOMEM;
    }
    for (char *slash = strchr(copy, '/'); slash != NULL && error == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(root->descriptor, copy, 0755) != 0 && errno != EEXIST) {
            error = errno;
        }
        *slash = '/';
    }
    free(copy);
    return error;
}

disk_error directory_make_all(const char *path)
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

disk_error directory_remove(const struct directory *directory, const char *name)
{
    return remove_tree(directory->descriptor, name, 0);
}

/* fsync(); file systems that can't flush such a thing count as done. */
static int sync_descriptor(int descriptor)
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
        error = sync_descriptor(dirfd(listing));
    }
    closedir(listing);
    return error;
}

disk_error directory_flush_tree(const struct directory *directory, const char *name)
{
    return sync_directories(directory->descriptor, name, 0);
}

void directory_flush(const struct directory *directory)
{
    fsync(directory->descriptor); /* where this is refused, what was renamed is as durable as it gets */
}

disk_error directory_flush_file(const struct directory *directory, const char *path)
{
    int descriptor = openat(directory->descriptor, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) {
        return errno;
    }
    int error = sync_descriptor(descriptor);
    close(descriptor);
    return error;
}

bool directory_look(const struct directory *directory, const char *path, struct disk_facts *facts)
{
    struct stat found;
    if (fstatat(directory->descriptor, path, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        return false;
    }
    *facts = (struct disk_facts){
        .is_file = S_ISREG(found.st_mode),
        .is_directory = S_ISDIR(found.st_mode),
        .is_executable = (found.st_mode & S_IXUSR) != 0,
        .size_bytes = (uint64_t)found.st_size,
        .age_s = (int64_t)(time(NULL) - found.st_mtime),
    };
    return true;
}

disk_error directory_rename(const struct directory *directory, const char *from, const char *to)
{
    return renameat(directory->descriptor, from, directory->descriptor, to) == 0 ? 0 : errno;
}

void directory_visit(const struct directory *directory, void (*visit)(void *context, const char *name), void *context)
{
    DIR *listing = open_listing(directory->descriptor, ".");
    if (listing == NULL) {
        return;
    }
    struct dirent *item;
    while ((item = readdir(listing)) != NULL) {
        if (!is_dot(item->d_name)) {
            visit(context, item->d_name);
        }
    }
    closedir(listing);
}

void directory_touch(const struct directory *directory, const char *name)
{
    utimensat(directory->descriptor, name, NULL, AT_SYMLINK_NOFOLLOW);
}

disk_error file_create(const struct directory *directory, const char *path, disk_file *file)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    *file = openat(directory->descriptor, path, flags, 0600);
    return *file >= 0 ? 0 : errno;
}

disk_error file_write(disk_file file, const uint8_t *data, size_t data_bytes)
{
    while (data_bytes > 0) {
        ssize_t written = write((int)file, data, data_bytes);
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

disk_error file_finish(disk_file file, bool executable)
{
    struct stat written;
    int changed = fchmod((int)file, executable ? 0755 : 0644); /* some file systems refuse */
    int error = errno;
    if (fstat((int)file, &written) != 0) {
        return errno;
    }
    if (executable && changed != 0 && (written.st_mode & S_IXUSR) == 0) {
        return error;
    }
    sync_file_range((int)file, 0, 0, SYNC_FILE_RANGE_WRITE); /* only a hint; fsync comes last */
    return 0;
}

disk_error file_close(disk_file file)
{
    return close((int)file) == 0 ? 0 : errno;
}

disk_error file_read_at(disk_file file, void *buffer, size_t size_bytes, uint64_t offset_bytes, size_t *count)
{
    for (;;) {
        ssize_t taken = pread((int)file, buffer, size_bytes, (off_t)offset_bytes);
        if (taken >= 0) {
            *count = (size_t)taken;
            return 0;
        }
        if (errno != EINTR) {
            return errno;
        }
    }
}
