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

struct packer_images {
    mtmd_context * context = nullptr;
    int32_t row_size = 0;

    ~packer_images() { mtmd_free(context); }
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

constexpr int32_t ABI_VERSION = 1;
constexpr const char * MARKER = "<__media__>";

thread_local std::string last_error_line;

void keep_error(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR && text != nullptr) {
        last_error_line = text;
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

// Runs body and returns what it gives, or NULL with the reason when it throws.
template <typename Body>
auto guarded(char * error, size_t error_size, Body && body) -> decltype(body()) {
    last_error_line.clear();
    try {
        return body();
    } catch (const std::bad_alloc &) {
        report("there is not enough memory", error, error_size);
    } catch (const std::exception & problem) {
        report(problem.what(), error, error_size);
    } catch (...) {
        report("an exception of an unknown kind", error, error_size);
    }
    return nullptr;
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
    const float * rows = mtmd_encode_chunk(images.context, chunk) == 0 ? mtmd_get_output_embd(images.context) : nullptr;
    if (rows == nullptr) {
        throw std::runtime_error("the projector failed on it: " + last_error_line);
    }
    piece.rows.assign(rows, rows + size_t(piece.facts.num_tokens) * images.row_size);
    piece.facts.rows = piece.rows.data();
    piece.facts.row_size = images.row_size;
    piece.facts.is_non_causal = mtmd_decode_use_non_causal(images.context, chunk);
    return piece;
}

}  // namespace

int32_t packer_images_abi_version(void) { return ABI_VERSION; }

packer_images * packer_images_open(const char * path, uint64_t offset_bytes, const void * model, int32_t num_threads,
                                   char * error, size_t error_size) {
    return guarded(error, error_size, [&]() -> packer_images * {
        const auto * text_model = static_cast<const llama_model *>(model);
        mtmd_log_set(keep_error, nullptr);
        mtmd_context_params params = mtmd_context_params_default();
        params.use_gpu = false;
        params.print_timings = false;
        params.n_threads = num_threads;
        params.media_marker = MARKER;
        params.warmup = false;
        pictures::set_projector_offset(offset_bytes);
        auto images = std::make_unique<packer_images>();
        images->context = mtmd_init_from_file(path, text_model, params);
        if (images->context == nullptr) {
            throw std::runtime_error(last_error_line.empty() ? "llama.cpp gives no reason" : last_error_line);
        }
        if (!mtmd_support_vision(images->context)) {
            throw std::runtime_error("it reads sound, not pictures");
        }
        images->row_size = llama_model_n_embd_inp(text_model);
        return images.release();
    });
}

int32_t packer_images_uses_mrope(const packer_images * images) { return mtmd_decode_use_mrope(images->context); }

void packer_images_close(packer_images * images) { delete images; }

packer_picture * packer_picture_read(packer_images * images, const uint8_t * file, size_t size, char * error,
                                     size_t error_size) {
    return guarded(error, error_size, [&]() -> packer_picture * {
        const pictures::Pixels pixels = pictures::decode(file, size);
        const std::unique_ptr<mtmd_bitmap, void (*)(mtmd_bitmap *)> bitmap(
            mtmd_bitmap_init(static_cast<uint32_t>(pixels.width), static_cast<uint32_t>(pixels.height),
                             pixels.rgb.get()),
            mtmd_bitmap_free);
        auto picture = std::make_unique<packer_picture>();
        picture->chunks.reset(mtmd_input_chunks_init());
        const mtmd_input_text text{MARKER, std::strlen(MARKER), false, true};
        const mtmd_bitmap * bitmaps[] = {bitmap.get()};
        if (mtmd_tokenize(images->context, picture->chunks.get(), &text, bitmaps, 1) != 0) {
            throw std::runtime_error("the projector refuses it: " + last_error_line);
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
