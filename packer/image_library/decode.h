// Picture files to pixels. They come from strangers, so what they say about themselves is checked before it is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace pictures {

constexpr int MAX_SIDE_PIXELS = 16384;
constexpr int64_t MAX_PIXELS = 32 * 1000 * 1000;
// A decoder may ask for a picture of four 16-bit channels, but not for what a few bytes can be inflated to.
constexpr size_t MAX_BLOCK_BYTES = size_t(272) << 20;

struct Pixels {
    int width = 0;
    int height = 0;
    std::unique_ptr<uint8_t, void (*)(void *)> rgb{nullptr, nullptr};  // (height, width, 3)
};

// Decodes a PNG, JPEG or GIF file (its first frame). Throws std::runtime_error with a sentence.
Pixels decode(const uint8_t * file, size_t size);

}  // namespace pictures
