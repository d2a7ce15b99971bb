/*
 * UTF-8 outside, UTF-16 inside: what the Windows files of the launcher share.
 */
#ifndef PACKER_WIDE_WINDOWS_H
#define PACKER_WIDE_WINDOWS_H

#include "launcher.h"

#include <wchar.h>

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

/* Convert; lone surrogates become U+FFFD. The caller frees the result. */
wchar_t *wide_from_utf8(const char *text);
char *utf8_from_wide(const wchar_t *text);

/*
 * The form of an absolute path that has no limit of 260 characters and in which no name is special: \\?\C:\..., with
 * backslashes only. The caller frees the result.
 */
wchar_t *wide_long_path(const char *path);

/*
 * The path as it is or, when it is too long for programs that know nothing of long paths, with \\?\ in front. The
 * caller frees the result.
 */
char *utf8_usable_path(const char *path);

/* The path as people write it, without \\?\. The caller frees the result. */
char *utf8_plain_path(const wchar_t *path);

#endif
