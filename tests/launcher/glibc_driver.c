/*
 * Prints the newest glibc version that a shared library defines, for each of many damaged versions of it.
 *
 * Usage: glibc_driver FILE. FILE is a scratch copy. Each line of standard input, "OFFSET VALUE", sets a byte for one
 * case; "-1 0" changes nothing. For each case one line is printed: "MAJOR.MINOR" or "none".
 */
#include "launcher.h"
#include "glibc_version_linux.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int num_arguments, char **arguments)
{
    char line[128];
    if (num_arguments != 2) {
        return 2;
    }
    int descriptor = open(arguments[1], O_RDWR | O_CLOEXEC);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *rest = line;
        long long offset = strtoll(rest, &rest, 10);
        uint8_t value = (uint8_t)strtol(rest, &rest, 10);
        uint8_t before = 0;
        if (offset >= 0 && (pread(descriptor, &before, 1, offset) != 1 || pwrite(descriptor, &value, 1, offset) != 1)) {
            abort();
        }
        struct glibc_version newest;
        if (glibc_version_of_library(arguments[1], &newest)) {
            printf("%lu.%lu\n", newest.major, newest.minor);
        } else {
            printf("none\n");
        }
        if (offset >= 0 && pwrite(descriptor, &before, 1, offset) != 1) {
            abort();
        }
    }
    close(descriptor);
    return 0;
}
