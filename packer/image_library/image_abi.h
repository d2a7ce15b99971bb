/* The C interface of libpacker-images: llama.cpp's multimodal library, one picture in, rows for the model out.
 *
 * A projector is opened where it stands in a larger file; nothing is written to disk. Functions that can fail return
 * NULL and put one sentence into `error`. No exception leaves the library, and its own failed assertions are errors,
 * too. One projector reads one picture at a time; the caller sees to that.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define PACKER_IMAGES_API __declspec(dllexport)
#else
#define PACKER_IMAGES_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct packer_images packer_images;
typedef struct packer_picture packer_picture;

/* A stretch of what a picture becomes: either tokens of the vocabulary, or rows of `row_size` floats that stand where
 * the embeddings of tokens would. The pointers hold as long as the picture. */
typedef struct packer_piece {
    const int32_t * tokens;  /* (num_tokens,), or NULL */
    const float * rows;      /* (num_tokens, row_size), or NULL */
    int32_t num_tokens;
    int32_t num_positions;   /* fewer than tokens where positions have several dimensions (M-RoPE) */
    int32_t row_size;
    int32_t is_non_causal;   /* all rows see each other, so they belong into one batch */
} packer_piece;

/* Changes whenever a caller would have to. */
PACKER_IMAGES_API int32_t packer_images_abi_version(void);

/* Measures the projector whose GGUF begins at a byte of `path` (UTF-8): its weights, and what it computes a picture in
 * that is as large as upstream provides for. No driver is asked and no weights are read. 0 on failure. */
PACKER_IMAGES_API int32_t packer_images_measure(const char * path, uint64_t offset_bytes, uint64_t * weights_bytes,
                                                uint64_t * compute_bytes, char * error, size_t error_size);

/* Loads the projector at a byte of `path` (UTF-8) for a loaded `llama_model`, on `device` (a ggml_backend_dev_t) or,
 * when that is NULL, on the CPU; never elsewhere. On a device, memory for a picture is taken at once. */
PACKER_IMAGES_API packer_images * packer_images_open(const char * path, uint64_t offset_bytes, const void * model,
                                                     void * device, int32_t num_threads, char * error,
                                                     size_t error_size);

/* Whether rows have positions of four dimensions (packer_picture_positions). */
PACKER_IMAGES_API int32_t packer_images_uses_mrope(const packer_images * images);

/* Whether it is on a device: the one that it was opened with, as long as that works. */
PACKER_IMAGES_API int32_t packer_images_on_device(const packer_images * images);

PACKER_IMAGES_API void packer_images_close(packer_images * images);

/* Decodes a PNG, JPEG or GIF file and runs it through the projector. After a failure of the device or for want of
 * memory, the next picture has the projector loaded anew, on the CPU when the device refuses. */
PACKER_IMAGES_API packer_picture * packer_picture_read(packer_images * images, const uint8_t * file, size_t size,
                                                       char * error, size_t error_size);

PACKER_IMAGES_API int32_t packer_picture_num_pieces(const packer_picture * picture);

PACKER_IMAGES_API void packer_picture_piece(const packer_picture * picture, int32_t index, packer_piece * out);

/* Writes the positions of a piece of rows that begins at position `first`: (4, num_tokens). */
PACKER_IMAGES_API void packer_picture_positions(const packer_picture * picture, int32_t index, int32_t first,
                                                int32_t * out);

PACKER_IMAGES_API void packer_picture_close(packer_picture * picture);

#ifdef __cplusplus
}
#endif
