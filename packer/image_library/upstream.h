// What llama.cpp's multimodal sources call instead of ggml's own functions; the build renames the calls.
#pragma once

#include <cstdint>

namespace pictures {

// Says where in its file the next projector that this thread opens begins.
void set_projector_offset(uint64_t offset_bytes);

}  // namespace pictures
