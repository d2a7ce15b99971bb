/*
 * Candidate cache directories, in the order in which they are tried.
 */
#ifndef PACKER_PLACES_H
#define PACKER_PLACES_H

#include "bundle.h"
#include "launcher.h"

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

/* List the candidates from the environment, the user database and the packed file's directory. */
void places_list(const struct bundle *bundle, struct places *places);
void places_free(struct places *places);

/* Note why a place can't be used, once; returns false. */
bool place_reject(struct place *place, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Open the cache directory, creating it when `create` is set. Returns its descriptor after checking its owner and that
 * its file system allows execution, or -1 with the place's reason set (no reason when it isn't there and `create` is
 * false).
 */
int place_open(struct place *place, bool create);

/* Check that the file system of the open cache directory has room for the bytes and files. */
bool place_has_room(struct place *place, int directory, uint64_t size_bytes, uint64_t num_files);

/* Fail with one message that lists every place with its reason, and the cure; returns false. */
bool places_exhausted(const struct bundle *bundle, const struct places *places, uint64_t size_bytes,
                      struct failure *failure);

#endif
