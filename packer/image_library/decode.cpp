#include "decode.h"

#include <climits>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

void * limited_malloc(size_t size) { return size > pictures::MAX_BLOCK_BYTES ? nullptr : std::malloc(size); }

void * limited_realloc(void * block, size_t size) {
    return size > pictures::MAX_BLOCK_BYTES ? nullptr : std::realloc(block, size);
}

}  // namespace

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(size) limited_malloc(size)
#define STBI_REALLOC(block, size) limited_realloc(block, size)
#define STBI_FREE(block) std::free(block)
#include "stb/stb_image.h"

namespace pictures {

Pixels decode(const uint8_t * file, size_t size) {
    Pixels pixels;
    int channels = 0;
    if (size == 0 || size > INT_MAX ||
        !stbi_info_from_memory(file, static_cast<int>(size), &pixels.width, &pixels.height, &channels) ||
        pixels.width <= 0 || pixels.height <= 0) {  // a GIF that ends in its header is 0 x 0
        throw std::runtime_error("it is no PNG, JPEG or GIF picture, or its beginning is damaged");
    }
    const int64_t count = int64_t(pixels.width) * pixels.height;
    if (pixels.width > MAX_SIDE_PIXELS || pixels.height > MAX_SIDE_PIXELS || count > MAX_PIXELS) {
        throw std::runtime_error("it is " + std::to_string(pixels.width) + " x " + std::to_string(pixels.height) +
                                 " pixels, and at most 32 million pixels can be read; make it smaller");
    }
    pixels.rgb = {stbi_load_from_memory(file, static_cast<int>(size), &pixels.width, &pixels.height, &channels, 3),
                  std::free};
    if (!pixels.rgb) {
        throw std::runtime_error("it is damaged or incomplete");
    }
    return pixels;
}

}  // namespace pictures
