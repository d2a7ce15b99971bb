#include "image_abi.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "decode.h"
#include "llama.h"
#include "mtmd.h"
#include "upstream.h"

using Context = std::unique_ptr<mtmd_context, void (*)(mtmd_context *)>;

struct packer_images {
    std::string path;
    uint64_t offset_bytes;
    const llama_model * model;
    ggml_backend_dev_t device;  // NULL: the CPU
    int32_t num_threads;
    Context context{nullptr, mtmd_free};
};

struct packer_picture {
    struct Piece {
        const mtmd_input_chunk * chunk;
        std::vector<float> rows;
        packer_piece facts;
    };

    std::unique_ptr<mtmd_input_chunks, void (*)(mtmd_input_chunks *)> chunks{nullptr, mtmd_input_chunks_free};
    std::vector<Piece> pieces;
};

namespace {

constexpr int32_t ABI_VERSION = 2;
constexpr const char * MARKER = "<__media__>";

// What upstream complained about while it did what it was asked for. The cause is the first thing that it says.
thread_local std::string complaints;

void keep_error(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR && text != nullptr) {
        complaints += text;
    }
}

// Puts the reason into the caller's buffer, on one line.
void report(const std::string & reason, char * error, size_t error_size) {
    if (error_size == 0) {
        return;
    }
    std::string line = reason;
    std::replace_if(line.begin(), line.end(), [](char one) { return one == '\n' || one == '\r'; }, ' ');
    const size_t count = std::min(line.size(), error_size - 1);
    std::memcpy(error, line.data(), count);
    error[count] = '\0';
}

// Runs body and returns what it gives, or NULL (or 0) with the reason when it throws.
template <typename Body>
auto guarded(char * error, size_t error_size, Body && body) -> decltype(body()) {
    complaints.clear();
    try {
        return body();
    } catch (const std::bad_alloc &) {
        report("there is not enough memory", error, error_size);
    } catch (const std::exception & problem) {
        report(problem.what(), error, error_size);
    } catch (...) {
        report("an exception of an unknown kind", error, error_size);
    }
    return {};
}

// What upstream is told, for a device or, when that is NULL, for the CPU. Without a device of its own choice it would
// take any that there is. Its warm-up computes nothing: it takes the memory for a picture.
mtmd_context_params parameters(ggml_backend_dev_t device) {
    mtmd_context_params params = mtmd_context_params_default();
    params.use_gpu = device != nullptr;
    params.device = device;
    params.print_timings = false;
    params.media_marker = MARKER;
    params.warmup = device != nullptr;
    return params;
}

// Loads the projector. Throws std::runtime_error.
Context load(const packer_images & images) {
    mtmd_context_params params = parameters(images.device);
    params.n_threads = images.num_threads;
    pictures::set_projector_offset(images.offset_bytes);
    Context context(mtmd_init_from_file(images.path.c_str(), images.model, params), mtmd_free);
    if (context == nullptr) {
        throw std::runtime_error(complaints.empty() ? "llama.cpp gives no reason" : complaints);
    }
    if (!mtmd_support_vision(context.get())) {
        throw std::runtime_error("it reads sound, not pictures");
    }
    return context;
}

// Loads it again, where it was if possible.
Context load_again(packer_images & images) {
    try {
        return load(images);
    } catch (...) {
        if (images.device == nullptr) {
            throw;
        }
    }
    complaints.clear();
    images.device = nullptr;
    return load(images);
}

// Memory that the projector takes on the CPU, with or without what it computes a picture in.
uint64_t memory_bytes(const char * path, bool with_compute) {
    mtmd_context_params params = parameters(nullptr);
    params.warmup = with_compute;
    uint64_t total = 0;
    for (const auto & [device, size] : mtmd_get_memory_usage(path, params)) {
        total += size;
    }
    if (total == 0) {
        throw std::runtime_error("it can't be measured: " + complaints);
    }
    return total;
}

// Runs a part of a picture through the projector. What fails there may leave upstream without buffers that it believes
// to have, so the projector goes and is loaded again for the next picture. Throws std::runtime_error.
std::vector<float> encode(packer_images & images, const mtmd_input_chunk * chunk, size_t num_rows) {
    int32_t failure = 1;
    try {
        failure = mtmd_encode_chunk(images.context.get(), chunk);
    } catch (...) {
        images.context.reset();
        throw;
    }
    const float * rows = failure == 0 ? mtmd_get_output_embd(images.context.get()) : nullptr;
    if (rows == nullptr) {
        images.context.reset();
        throw std::runtime_error("the projector failed on it: " + complaints);
    }
    return {rows, rows + num_rows * static_cast<size_t>(llama_model_n_embd_inp(images.model))};
}

packer_picture::Piece read_piece(packer_images & images, const mtmd_input_chunk * chunk) {
    packer_picture::Piece piece{chunk, {}, {}};
    piece.facts.num_tokens = static_cast<int32_t>(mtmd_input_chunk_get_n_tokens(chunk));
    piece.facts.num_positions = mtmd_input_chunk_get_n_pos(chunk);
    if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) {
        size_t count = 0;
        piece.facts.tokens = mtmd_input_chunk_get_tokens_text(chunk, &count);
        return piece;
    }
    piece.rows = encode(images, chunk, static_cast<size_t>(piece.facts.num_tokens));
    piece.facts.rows = piece.rows.data();
    piece.facts.row_size = llama_model_n_embd_inp(images.model);
    piece.facts.is_non_causal = mtmd_decode_use_non_causal(images.context.get(), chunk);
    return piece;
}

}  // namespace

int32_t packer_images_abi_version(void) { return ABI_VERSION; }

int32_t packer_images_measure(const char * path, uint64_t offset_bytes, uint64_t * weights_bytes,
                              uint64_t * compute_bytes, char * error, size_t error_size) {
    return guarded(error, error_size, [&]() -> int32_t {
        mtmd_log_set(keep_error, nullptr);
        pictures::set_projector_offset(offset_bytes);
        *weights_bytes = memory_bytes(path, false);
        *compute_bytes = memory_bytes(path, true) - *weights_bytes;
        return 1;
    });
}

packer_images * packer_images_open(const char * path, uint64_t offset_bytes, const void * model, void * device,
                                   int32_t num_threads, char * error, size_t error_size) {
    return guarded(error, error_size, [&]() -> packer_images * {
        mtmd_log_set(keep_error, nullptr);
        std::unique_ptr<packer_images> images(
            new packer_images{path, offset_bytes, static_cast<const llama_model *>(model),
                              static_cast<ggml_backend_dev_t>(device), num_threads});
        images->context = load(*images);
        return images.release();
    });
}

int32_t packer_images_uses_mrope(const packer_images * images) {
    return mtmd_decode_use_mrope(images->context.get());
}

int32_t packer_images_on_device(const packer_images * images) { return images->device != nullptr; }

void packer_images_close(packer_images * images) { delete images; }

packer_picture * packer_picture_read(packer_images * images, const uint8_t * file, size_t size, char * error,
                                     size_t error_size) {
    return guarded(error, error_size, [&]() -> packer_picture * {
        const pictures::Pixels pixels = pictures::decode(file, size);
        if (images->context == nullptr) {
            images->context = load_again(*images);
        }
        const std::unique_ptr<mtmd_bitmap, void (*)(mtmd_bitmap *)> bitmap(
            mtmd_bitmap_init(static_cast<uint32_t>(pixels.width), static_cast<uint32_t>(pixels.height),
                             pixels.rgb.get()),
            mtmd_bitmap_free);
        auto picture = std::make_unique<packer_picture>();
        picture->chunks.reset(mtmd_input_chunks_init());
        const mtmd_input_text text{MARKER, std::strlen(MARKER), false, true};
        const mtmd_bitmap * bitmaps[] = {bitmap.get()};
        if (mtmd_tokenize(images->context.get(), picture->chunks.get(), &text, bitmaps, 1) != 0) {
            throw std::runtime_error("the projector refuses it: " + complaints);
        }
        const size_t count = mtmd_input_chunks_size(picture->chunks.get());
        for (size_t index = 0; index < count; index++) {
            picture->pieces.push_back(read_piece(*images, mtmd_input_chunks_get(picture->chunks.get(), index)));
        }
        return picture.release();
    });
}

int32_t packer_picture_num_pieces(const packer_picture * picture) {
    return static_cast<int32_t>(picture->pieces.size());
}

void packer_picture_piece(const packer_picture * picture, int32_t index, packer_piece * out) {
    *out = picture->pieces[static_cast<size_t>(index)].facts;
}

void packer_picture_positions(const packer_picture * picture, int32_t index, int32_t first, int32_t * out) {
    const auto & piece = picture->pieces[static_cast<size_t>(index)];
    const mtmd_image_tokens * tokens = mtmd_input_chunk_get_tokens_image(piece.chunk);
    const size_t count = static_cast<size_t>(piece.facts.num_tokens);
    for (size_t row = 0; row < count; row++) {
        const mtmd_decoder_pos position = mtmd_image_tokens_get_decoder_pos(tokens, first, row);
        out[row] = static_cast<int32_t>(position.t);
        out[row + count] = static_cast<int32_t>(position.y);
        out[row + 2 * count] = static_cast<int32_t>(position.x);
        out[row + 3 * count] = static_cast<int32_t>(position.z);
    }
}

void packer_picture_close(packer_picture * picture) { delete picture; }
