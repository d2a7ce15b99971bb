/*
 * Windows: our own file, the user's directory, CPUs, clock, random names, messages.
 */
#include "bundle.h"
#include "console_windows.h"
#include "launcher.h"
#include "platform.h"
#include "wide_windows.h"

#include <bcrypt.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATH_UNITS = 32768, MAX_MESSAGE_UNITS = 4096 };

void platform_open_standard_streams(void)
{
    static const DWORD streams[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof inheritable, .bInheritHandle = TRUE};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        HANDLE stream = GetStdHandle(streams[i]);
        if (stream == NULL || stream == INVALID_HANDLE_VALUE) {
            DWORD access = i == 0 ? GENERIC_READ : GENERIC_WRITE;
            SetStdHandle(streams[i], CreateFileW(L"NUL", access, FILE_SHARE_READ | FILE_SHARE_WRITE, &inheritable,
                                                 OPEN_EXISTING, 0, NULL));
        }
    }
    SetConsoleOutputCP(CP_UTF8);
}

bool bundle_open_self(struct bundle *bundle, struct failure *failure)
{
    *bundle = (struct bundle){.file = DISK_FILE_NONE, .path_from_proc = true};
    wchar_t *path = allocate(MAX_PATH_UNITS, sizeof *path);
    DWORD units = GetModuleFileNameW(NULL, path, MAX_PATH_UNITS);
    if (units == 0 || units >= MAX_PATH_UNITS) {
        free(path);
        return fail(failure, FAILURE_MACHINE, "can't find the file this program was started from: %s",
                    disk_error_text((disk_error)GetLastError()));
    }
    bundle->path = utf8_plain_path(path);
    free(path);
    wchar_t *long_path = wide_long_path(bundle->path);
    HANDLE file = CreateFileW(long_path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    free(long_path);
    LARGE_INTEGER size;
    if (file == INVALID_HANDLE_VALUE || !GetFileSizeEx(file, &size)) {
        return fail(failure, FAILURE_MACHINE, "%s can't be read: %s.", bundle->path,
                    disk_error_text((disk_error)GetLastError()));
    }
    bundle->file = (disk_file)file;
    bundle->size_bytes = (uint64_t)size.QuadPart;
    return true;
}

char *platform_home_directory(void)
{
    const char *home = environment_text("USERPROFILE");
    return home != NULL && platform_is_absolute(home) ? _strdup(home) : NULL;
}

unsigned platform_num_cpus(void)
{
    DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count > 0 ? (unsigned)count : 1;
}

unsigned long platform_process_id(void)
{
    return GetCurrentProcessId();
}

bool platform_is_absolute(const char *path)
{
    bool drive = path[0] != '\0' && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
    return drive || (path[0] == '\\' && path[1] == '\\');
}

double platform_clock_ms(void)
{
    LARGE_INTEGER ticks;
    LARGE_INTEGER per_s;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_s);
    return (double)ticks.QuadPart * 1e3 / (double)per_s.QuadPart;
}

void platform_random(void *bytes, size_t num_bytes)
{
    if (BCryptGenRandom(NULL, bytes, (ULONG)num_bytes, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0) {
        return;
    }
    LARGE_INTEGER ticks; /* names only need to differ between processes */
    QueryPerformanceCounter(&ticks);
    uint64_t mixed = (uint64_t)ticks.QuadPart ^ (uint64_t)GetCurrentProcessId() << 32;
    for (size_t i = 0; i < num_bytes; i++) {
        mixed = mixed * 6364136223846793005U + 1442695040888963407U;
        ((uint8_t *)bytes)[i] = (uint8_t)(mixed >> 56);
    }
}

void platform_write_error(const char *text, size_t text_bytes)
{
    HANDLE stream = GetStdHandle(STD_ERROR_HANDLE);
    while (text_bytes > 0) {
        DWORD written = 0;
        if (!WriteFile(stream, text, (DWORD)text_bytes, &written, NULL) || written == 0) {
            return;
        }
        text += written;
        text_bytes -= written;
    }
}

void platform_show_failure(const char *text)
{
    if (!console_is_windowed()) {
        console_pause_after(EXIT_CODE_MACHINE);
        return;
    }
    wchar_t *wide = wide_from_utf8(text);
    MessageBoxW(NULL, wide, L"This chat can't start", MB_OK | MB_ICONERROR | MB_SETFOREGROUND);
    free(wide);
}

const char *environment_text(const char *name)
{
    wchar_t *wide_name = wide_from_utf8(name);
    DWORD units = GetEnvironmentVariableW(wide_name, NULL, 0);
    char *value = NULL;
    if (units > 1) {
        wchar_t *wide = allocate(units, sizeof *wide);
        GetEnvironmentVariableW(wide_name, wide, units);
        value = utf8_from_wide(wide); /* kept until the process ends, as getenv()'s results are */
        free(wide);
    }
    free(wide_name);
    return value;
}
