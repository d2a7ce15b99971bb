/*
 * What the build system's C++ library takes from a C library newer than the one that the backend is to load with.
 *
 * Its random numbers come from arc4random, which glibc has from 2.36 on; getrandom is there since 2.25.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

__attribute__((visibility("hidden"))) uint32_t arc4random(void)
{
    uint32_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number) {
        abort();
    }
    return number;
}
