/*
 * The two functions of POSIX that the stand-in for cuBLAS finds a system's copy with, as Windows has them.
 *
 * Only the folder of an installed CUDA toolkit is looked in, which its installer names in CUDA_PATH: never the current
 * directory nor PATH, where anyone may have put a library of that name.
 */
#pragma once

#include <windows.h>

#include <cstdio>

enum { RTLD_NOW = 2, RTLD_LOCAL = 0 };

static inline void *dlopen(const char *name, int)
{
    static const char *const folders[] = {"bin\\x64", "bin"};
    char toolkit[MAX_PATH], path[MAX_PATH];
    const DWORD length = GetEnvironmentVariableA("CUDA_PATH", toolkit, sizeof(toolkit));
    if (length == 0 || length >= sizeof(toolkit)) {
        return nullptr;
    }
    for (const char *folder : folders) {
        const int needed = std::snprintf(path, sizeof(path), "%s\\%s\\%s", toolkit, folder, name);
        if (needed < 0 || needed >= (int)sizeof(path)) {
            return nullptr;
        }
        const DWORD places = LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32;
        if (HMODULE library = LoadLibraryExA(path, nullptr, places)) {
            return reinterpret_cast<void *>(library);
        }
    }
    return nullptr;
}

static inline void *dlsym(void *library, const char *name)
{
    return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), name));
}
