/*
 * The few words and characters that differ between systems.
 */
#ifndef PACKER_PLATFORM_VALUES_H
#define PACKER_PLATFORM_VALUES_H

#ifdef _WIN32
#define PACKER_TARGET "windows-x86_64"
#define PLATFORM_SEPARATOR '\\'
#define PLATFORM_CACHE_EXAMPLE "set PACKER_CACHE_DIR=D:\\some\\writable\\directory and start %s again"
#else
#define PACKER_TARGET "linux-x86_64"
#define PLATFORM_SEPARATOR '/'
#define PLATFORM_CACHE_EXAMPLE "PACKER_CACHE_DIR=/some/writable/directory '%s'"
#endif

#endif
