/*
 * Unpacks runtime files: streaming from the packed file to the disk, checking size and CRC-32 on the way.
 */
#ifndef PACKER_UNPACK_H
#define PACKER_UNPACK_H

#include "archive.h"
#include "bundle.h"
#include "launcher.h"

/* Buffers and decoder of one thread. */
struct unpacker {
    struct ZSTD_DCtx_s *decoder;
    uint8_t *input;
    uint8_t *output;
};

/* Allocate; free with unpacker_close(), also after a failure. */
bool unpacker_open(struct unpacker *unpacker, struct failure *failure);
void unpacker_close(struct unpacker *unpacker);

/*
 * Write `entry` to its path below the directory `root`, whose parents exist. Fails as DAMAGED when its bytes are
 * wrong, as PLACE when the disk refuses them, as INTERRUPTED after a signal.
 */
bool unpack_entry(struct unpacker *unpacker, const struct bundle *bundle, const struct archive *archive,
                  const struct archive_entry *entry, const struct directory *root, struct failure *failure);

/* Unpack every entry of the archive below `root` with several threads, and flush the files to the disk. */
bool unpack_all(const struct bundle *bundle, const struct archive *archive, const struct directory *root,
                struct failure *failure);

#endif
