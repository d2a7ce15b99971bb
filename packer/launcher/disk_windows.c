/*
 * Windows: the disk through long UTF-16 paths; see disk.h. A link (any reparse point) is neither file nor directory.
 */
#include "launcher.h"
#include "disk.h"
#include "directory_windows.h"
#include "wide_windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 512 + 8, MAX_WRITE_BYTES = 1 << 20, RETRIES = 40, RETRY_MS = 50 };
#define TICKS_PER_S 10000000ULL

const char *disk_error_text(disk_error error)
{
    static _Thread_local char shown[512];
    wchar_t text[256] = {0};
    DWORD units = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)error, 0, text,
                                 sizeof text / sizeof *text - 1, NULL);
    while (units > 0 && wcschr(L"\r\n .", text[units - 1]) != NULL) {
        text[--units] = L'\0';
    }
    if (units == 0 || WideCharToMultiByte(CP_UTF8, 0, text, -1, shown, sizeof shown, NULL, NULL) == 0) {
        snprintf(shown, sizeof shown, "Windows error %d", error);
    }
    return shown;
}

bool disk_error_is_missing(disk_error error)
{
    return error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND;
}

bool disk_error_is_taken(disk_error error)
{
    return error == ERROR_ALREADY_EXISTS || error == ERROR_FILE_EXISTS || error == ERROR_DIR_NOT_EMPTY ||
           error == ERROR_DIRECTORY;
}

void disk_begin_writing(void)
{
}

void disk_end_writing(void)
{
}

static disk_error last_error(bool done)
{
    return done ? 0 : (disk_error)GetLastError();
}

wchar_t *directory_join(const struct directory *directory, const char *path)
{
    wchar_t *below = wide_from_utf8(path);
    wchar_t *joined = allocate(wcslen(directory->path) + wcslen(below) + 2, sizeof *joined);
    wcscpy(joined, directory->path);
    wcscat(joined, L"\\");
    wcscat(joined, below);
    for (wchar_t *unit = joined; *unit != L'\0'; unit++) {
        *unit = *unit == L'/' ? L'\\' : *unit;
    }
    free(below);
    return joined;
}

/* Take over a long path that must be a directory. */
static disk_error opened(wchar_t *path, struct directory **directory)
{
    DWORD attributes = GetFileAttributesW(path);
    disk_error error = attributes == INVALID_FILE_ATTRIBUTES              ? last_error(false)
                       : (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0 ? ERROR_DIRECTORY
                                                                      : 0;
    if (error != 0) {
        free(path);
        return error;
    }
    size_t units = wcslen(path);
    if (units > 0 && path[units - 1] == L'\\') {
        path[units - 1] = L'\0';
    }
    *directory = allocate(1, sizeof **directory);
    (*directory)->path = path;
    return 0;
}

disk_error directory_open(const char *path, struct directory **directory)
{
    return opened(wide_long_path(path), directory);
}

disk_error directory_open_child(const struct directory *parent, const char *name, struct directory **child)
{
    return opened(directory_join(parent, name), child);
}

void directory_close(struct directory *directory)
{
    if (directory != NULL) {
        free(directory->path);
        free(directory);
    }
}

/* Create one directory; one that is there already is fine. */
static disk_error make_one(const wchar_t *path)
{
    if (CreateDirectoryW(path, NULL)) {
        return 0;
    }
    disk_error error = last_error(false);
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0 ? 0 : error;
}

/* Create the directories that end at each backslash of `path` from `start` on. */
static disk_error make_chain(wchar_t *path, wchar_t *start)
{
    disk_error error = 0;
    for (wchar_t *slash = wcschr(start, L'\\'); slash != NULL && error == 0; slash = wcschr(slash + 1, L'\\')) {
        *slash = L'\0';
        error = make_one(path);
        *slash = L'\\';
    }
    return error;
}

disk_error directory_make_all(const char *path)
{
    wchar_t *wide = wide_long_path(path);
    wchar_t *root_end = wcschr(wide + 4, L'\\'); /* behind \\?\C: or \\?\UNC */
    disk_error error = 0;
    if (root_end != NULL && wcsncmp(wide, L"\\\\?\\UNC\\", 8) == 0) {
        for (int part = 0; part < 2 && root_end != NULL; part++) { /* server and share can't be created */
            root_end = wcschr(root_end + 1, L'\\');
        }
    }
    if (root_end != NULL) {
        error = make_chain(wide, root_end + 1);
    }
    if (error == 0) {
        error = make_one(wide);
    }
    free(wide);
    return error;
}

disk_error directory_make(const struct directory *parent, const char *name)
{
    wchar_t *path = directory_join(parent, name);
    disk_error error = last_error(CreateDirectoryW(path, NULL));
    free(path);
    return error;
}

disk_error directory_make_parents(const struct directory *root, const char *path)
{
    wchar_t *wide = directory_join(root, path);
    disk_error error = make_chain(wide, wide + wcslen(root->path) + 1);
    free(wide);
    return error;
}

bool directory_look(const struct directory *directory, const char *path, struct disk_facts *facts)
{
    wchar_t *wide = directory_join(directory, path);
    WIN32_FILE_ATTRIBUTE_DATA found;
    bool there = GetFileAttributesExW(wide, GetFileExInfoStandard, &found);
    free(wide);
    if (!there) {
        return false;
    }
    bool is_link = (found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
    bool is_directory = (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    uint64_t now_ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    uint64_t written_ticks = (uint64_t)found.ftLastWriteTime.dwHighDateTime << 32 | found.ftLastWriteTime.dwLowDateTime;
    *facts = (struct disk_facts){
        .is_file = !is_link && !is_directory,
        .is_directory = !is_link && is_directory,
        .is_executable = true, /* Windows goes by the name */
        .size_bytes = (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow,
        .age_s = ((int64_t)now_ticks - (int64_t)written_ticks) / (int64_t)TICKS_PER_S,
    };
    return true;
}

/* A virus scanner opens what was just written for a moment: try again for two seconds. */
static bool worth_another_try(disk_error error)
{
    return error == ERROR_ACCESS_DENIED || error == ERROR_SHARING_VIOLATION;
}

disk_error directory_rename(const struct directory *directory, const char *from, const char *to)
{
    wchar_t *wide_from = directory_join(directory, from);
    wchar_t *wide_to = directory_join(directory, to);
    disk_error error = 0;
    for (int attempt = 0; attempt < RETRIES; attempt++) {
        error = last_error(MoveFileExW(wide_from, wide_to, 0));
        if (!worth_another_try(error) || GetFileAttributesW(wide_to) != INVALID_FILE_ATTRIBUTES) {
            break;
        }
        Sleep(RETRY_MS);
    }
    if (error != 0 && GetFileAttributesW(wide_to) != INVALID_FILE_ATTRIBUTES) {
        error = ERROR_ALREADY_EXISTS;
    }
    free(wide_from);
    free(wide_to);
    return error;
}

static disk_error remove_tree(const wchar_t *path, int depth);

/* Remove everything in the directory `path`. */
static disk_error remove_children(const wchar_t *path, int depth)
{
    struct directory directory = {.path = (wchar_t *)path};
    WIN32_FIND_DATAW found;
    wchar_t *pattern = directory_join(&directory, "*");
    HANDLE listing = FindFirstFileW(pattern, &found);
    free(pattern);
    if (listing == INVALID_HANDLE_VALUE) {
        return last_error(false);
    }
    disk_error error = 0;
    do {
        if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0) {
            continue;
        }
        wchar_t *child = allocate(wcslen(path) + wcslen(found.cFileName) + 2, sizeof *child);
        wcscpy(child, path);
        wcscat(child, L"\\");
        wcscat(child, found.cFileName);
        error = remove_tree(child, depth + 1);
        free(child);
    } while (error == 0 && FindNextFileW(listing, &found));
    FindClose(listing);
    return error;
}

static disk_error remove_tree(const wchar_t *path, int depth)
{
    DWORD attributes = GetFileAttributesW(path);
    if (attributes == INVALID_FILE_ATTRIBUTES) {
        disk_error error = last_error(false);
        return disk_error_is_missing(error) ? 0 : error;
    }
    if ((attributes & FILE_ATTRIBUTE_READONLY) != 0) {
        SetFileAttributesW(path, attributes & ~(DWORD)FILE_ATTRIBUTE_READONLY);
    }
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0) {
        return last_error(DeleteFileW(path));
    }
    bool is_link = (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
    disk_error error = is_link ? 0 : depth > MAX_DEPTH ? ERROR_DIR_NOT_EMPTY : remove_children(path, depth);
    return error != 0 ? error : last_error(RemoveDirectoryW(path));
}

disk_error directory_remove(const struct directory *directory, const char *name)
{
    wchar_t *path = directory_join(directory, name);
    disk_error error = remove_tree(path, 0);
    free(path);
    return error;
}

void directory_visit(const struct directory *directory, void (*visit)(void *context, const char *name), void *context)
{
    WIN32_FIND_DATAW found;
    wchar_t *pattern = directory_join(directory, "*");
    HANDLE listing = FindFirstFileW(pattern, &found);
    free(pattern);
    if (listing == INVALID_HANDLE_VALUE) {
        return;
    }
    do {
        char *name = utf8_from_wide(found.cFileName);
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            visit(context, name);
        }
        free(name);
    } while (FindNextFileW(listing, &found));
    FindClose(listing);
}

void directory_touch(const struct directory *directory, const char *name)
{
    wchar_t *path = directory_join(directory, name);
    HANDLE opened_handle = CreateFileW(path, FILE_WRITE_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                       OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    free(path);
    if (opened_handle != INVALID_HANDLE_VALUE) {
        FILETIME now;
        GetSystemTimeAsFileTime(&now);
        SetFileTime(opened_handle, NULL, NULL, &now);
        CloseHandle(opened_handle);
    }
}

void directory_flush(const struct directory *directory)
{
    (void)directory; /* NTFS logs changes of directories; there is nothing to flush */
}

disk_error directory_flush_tree(const struct directory *directory, const char *name)
{
    (void)directory;
    (void)name;
    return 0;
}

disk_error directory_flush_file(const struct directory *directory, const char *path)
{
    wchar_t *wide = directory_join(directory, path);
    HANDLE file = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    free(wide);
    if (file == INVALID_HANDLE_VALUE) {
        return worth_another_try(last_error(false)) ? 0 : last_error(false); /* a scanner has it; it will be flushed */
    }
    disk_error error = last_error(FlushFileBuffers(file));
    CloseHandle(file);
    return error;
}

disk_error file_create(const struct directory *directory, const char *path, disk_file *file)
{
    wchar_t *wide = directory_join(directory, path);
    HANDLE created = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_NEW,
                                 FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    disk_error error = last_error(created != INVALID_HANDLE_VALUE);
    free(wide);
    *file = (disk_file)created;
    return error;
}

disk_error file_write(disk_file file, const uint8_t *data, size_t data_bytes)
{
    while (data_bytes > 0) {
        DWORD written = 0;
        DWORD wanted = data_bytes < MAX_WRITE_BYTES ? (DWORD)data_bytes : MAX_WRITE_BYTES;
        if (!WriteFile((HANDLE)file, data, wanted, &written, NULL)) {
            return last_error(false);
        }
        data += written;
        data_bytes -= written;
    }
    return 0;
}

disk_error file_finish(disk_file file, bool executable)
{
    (void)file;
    (void)executable;
    return 0;
}

disk_error file_close(disk_file file)
{
    return last_error(CloseHandle((HANDLE)file));
}

disk_error file_read_at(disk_file file, void *buffer, size_t size_bytes, uint64_t offset_bytes, size_t *count)
{
    OVERLAPPED position = {.Offset = (DWORD)offset_bytes, .OffsetHigh = (DWORD)(offset_bytes >> 32)};
    DWORD taken = 0;
    DWORD wanted = size_bytes < MAX_WRITE_BYTES ? (DWORD)size_bytes : MAX_WRITE_BYTES;
    bool done = ReadFile((HANDLE)file, buffer, wanted, &taken, &position);
    disk_error error = last_error(done);
    *count = taken;
    return error == ERROR_HANDLE_EOF ? 0 : error;
}
