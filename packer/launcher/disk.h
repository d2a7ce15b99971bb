/*
 * The disk as the launcher needs it, through open directories, never following a symbolic link below one.
 * disk_linux.c and disk_windows.c. Paths are UTF-8; below a directory they are relative and '/'-separated.
 */
#ifndef PACKER_DISK_H
#define PACKER_DISK_H

#include "launcher.h"

/* 0, or the system's own number: errno, GetLastError(). */
typedef int disk_error;

/* A file descriptor or a HANDLE. */
typedef intptr_t disk_file;
#define DISK_FILE_NONE ((disk_file)-1)

struct directory;

struct disk_facts {
    bool is_file; /* a regular one */
    bool is_directory;
    bool is_executable;
    uint64_t size_bytes;
    int64_t age_s; /* since the last change */
};

/* The system's words for an error; they stay until the next call in the same thread. */
const char *disk_error_text(disk_error error);

/* Whether the error says that there is no such file. */
bool disk_error_is_missing(disk_error error);

/* Whether the error says that something else stands where a file or directory was to be. */
bool disk_error_is_taken(disk_error error);

/* Called before and after the runtime is unpacked: what is written in between, every user may read. */
void disk_begin_writing(void);
void disk_end_writing(void);

/* Open the absolute path of a directory, which may be a link to one. Close with directory_close(), which takes NULL. */
disk_error directory_open(const char *path, struct directory **directory);
disk_error directory_open_child(const struct directory *parent, const char *name, struct directory **child);
void directory_close(struct directory *directory);

/* Create the absolute directory `path` and what is missing above it, for this user alone. */
disk_error directory_make_all(const char *path);

/* Create a directory in an open one; the directories above a file in it. */
disk_error directory_make(const struct directory *parent, const char *name);
disk_error directory_make_parents(const struct directory *root, const char *path);

/* What `path` is, a link being neither file nor directory. Returns false when there is no such thing. */
bool directory_look(const struct directory *directory, const char *path, struct disk_facts *facts);

/* Rename within the directory; fails as taken when a directory that isn't empty has the new name. */
disk_error directory_rename(const struct directory *directory, const char *from, const char *to);

/* Remove the file or directory `name` with all it holds; one that isn't there counts as removed. */
disk_error directory_remove(const struct directory *directory, const char *name);

/* Call `visit` with every name in the directory. */
void directory_visit(const struct directory *directory, void (*visit)(void *context, const char *name), void *context);

/* Set the time of the last change to now, where that is allowed. */
void directory_touch(const struct directory *directory, const char *name);

/* Flush to the disk: the directory itself, a file in it, or a directory in it with every directory below. */
void directory_flush(const struct directory *directory);
disk_error directory_flush_file(const struct directory *directory, const char *path);
disk_error directory_flush_tree(const struct directory *directory, const char *name);

/* Create a file that isn't there, write to it, give it its permissions and start writing it back, close it. */
disk_error file_create(const struct directory *directory, const char *path, disk_file *file);
disk_error file_write(disk_file file, const uint8_t *data, size_t data_bytes);
disk_error file_finish(disk_file file, bool executable);
disk_error file_close(disk_file file);

/* Read up to `size_bytes` at an offset; `count` gets 0 at the end of the file. */
disk_error file_read_at(disk_file file, void *buffer, size_t size_bytes, uint64_t offset_bytes, size_t *count);

#endif
