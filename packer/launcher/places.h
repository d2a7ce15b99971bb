/*
 * Candidate cache directories, in the order in which they are tried.
 */
#ifndef PACKER_PLACES_H
#define PACKER_PLACES_H

#include "bundle.h"
#include "disk.h"
#include "launcher.h"
#include "lock.h"

#define CACHE_NAME "packer-runtimes"

enum { MAX_PLACES = 10 };

struct place {
    char *path;       /* absolute path of the cache directory; it holds one directory per runtime */
    char *parent;     /* directory that must exist already, or NULL when `path` may be created from the root down */
    bool shared;      /* below a directory that others can write to: the cache directory must be ours alone */
    bool any_owner;   /* the user chose it: whoever owns it */
    char *reason;     /* why it can't be used; NULL while it may */
};

struct places {
    struct place items[MAX_PLACES];
    size_t num_places;
};

/* List the candidates from the environment, the user's directories and the packed file's (places_*.c). */
void places_list(const struct bundle *bundle, struct places *places);
void places_free(struct places *places);

/* Add the candidate `below` in the directory `parent` (taken over) unless it is listed already. */
struct place *places_add(struct places *places, char *parent, const char *below);

/* Add $PACKER_CACHE_DIR, which excludes every other place, also when it is unusable. Returns false when it isn't set. */
bool places_add_chosen(struct places *places);

/* Note why a place can't be used, once; returns false. */
bool place_reject(struct place *place, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Open the cache directory, creating it when `create` is set. Returns it after checking its owner and that its file
 * system allows execution, or NULL with the place's reason set (no reason when it isn't there and `create` is false).
 */
struct directory *place_open(struct place *place, bool create);

/* Some systems refuse to run programs without saying so in advance: try with the lock file in the place. */
bool place_allows_execution(struct place *place, const struct file_lock *lock);

/* Check that the file system of the open cache directory has room for the bytes and files. */
bool place_has_room(struct place *place, const struct directory *directory, uint64_t size_bytes, uint64_t num_files);

/* Compare with what is free, as place_has_room() found it. */
bool place_room_suffices(struct place *place, uint64_t free_bytes, uint64_t needed_bytes);

/* Bytes that the files take on a disk with blocks of `block_bytes`, and a margin. */
uint64_t place_needed_bytes(uint64_t size_bytes, uint64_t num_files, uint64_t block_bytes);

/* Fail with one message that lists every place with its reason, and the cure; returns false. */
bool places_exhausted(const struct bundle *bundle, const struct places *places, uint64_t size_bytes,
                      struct failure *failure);

#endif
