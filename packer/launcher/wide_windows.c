/*
 * Windows: conversions between UTF-8 and UTF-16, and long paths; see wide_windows.h.
 */
#include "wide_windows.h"

#include <stdlib.h>
#include <string.h>

#define LONG_PREFIX L"\\\\?\\"
#define LONG_SHARE_PREFIX L"\\\\?\\UNC\\"
enum { LONG_PREFIX_UNITS = 4, LONG_SHARE_PREFIX_UNITS = 8, LONG_PATH_UNITS = 240 };

wchar_t *wide_from_utf8(const char *text)
{
    int units = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *wide = allocate((size_t)units + 1, sizeof *wide);
    MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, units);
    return wide;
}

char *utf8_from_wide(const wchar_t *text)
{
    int bytes = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *utf8 = allocate((size_t)bytes + 1, 1);
    WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, bytes, NULL, NULL);
    return utf8;
}

wchar_t *wide_long_path(const char *path)
{
    wchar_t *plain = wide_from_utf8(path);
    for (wchar_t *unit = plain; *unit != L'\0'; unit++) {
        *unit = *unit == L'/' ? L'\\' : *unit;
    }
    if (wcsncmp(plain, LONG_PREFIX, LONG_PREFIX_UNITS) == 0) {
        return plain;
    }
    bool share = plain[0] == L'\\' && plain[1] == L'\\';
    const wchar_t *prefix = share ? LONG_SHARE_PREFIX : LONG_PREFIX;
    const wchar_t *rest = share ? plain + 2 : plain;
    wchar_t *longer = allocate(wcslen(prefix) + wcslen(rest) + 1, sizeof *longer);
    wcscpy(longer, prefix);
    wcscat(longer, rest);
    free(plain);
    return longer;
}

char *utf8_usable_path(const char *path)
{
    wchar_t *wide = wide_from_utf8(path);
    bool is_long = wcslen(wide) >= LONG_PATH_UNITS;
    free(wide);
    if (!is_long) {
        return format_text("%s", path);
    }
    wide = wide_long_path(path);
    char *usable = utf8_from_wide(wide);
    free(wide);
    return usable;
}

char *utf8_plain_path(const wchar_t *path)
{
    if (wcsncmp(path, LONG_SHARE_PREFIX, LONG_SHARE_PREFIX_UNITS) == 0) {
        char *share = utf8_from_wide(path + LONG_SHARE_PREFIX_UNITS);
        char *plain = format_text("\\\\%s", share);
        free(share);
        return plain;
    }
    return utf8_from_wide(wcsncmp(path, LONG_PREFIX, LONG_PREFIX_UNITS) == 0 ? path + LONG_PREFIX_UNITS : path);
}
