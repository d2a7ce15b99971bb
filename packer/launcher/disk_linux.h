/*
 * What the Linux files of the launcher know of an open directory.
 */
#ifndef PACKER_DISK_LINUX_H
#define PACKER_DISK_LINUX_H

#include "disk.h"

struct directory {
    int descriptor;
};

/* Take over an open descriptor of a directory. */
struct directory *directory_from_descriptor(int descriptor);

#endif
