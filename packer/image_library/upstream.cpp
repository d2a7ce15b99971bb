#include "upstream.h"

#include <cstdarg>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"

namespace {

thread_local uint64_t projector_offset_bytes = 0;

bool seek(FILE * file, uint64_t offset_bytes) {
#if defined(_WIN32)
    return _fseeki64(file, static_cast<int64_t>(offset_bytes), SEEK_SET) == 0;
#else
    return fseeko(file, static_cast<off_t>(offset_bytes), SEEK_SET) == 0;
#endif
}

}  // namespace

namespace pictures {

void set_projector_offset(uint64_t offset_bytes) { projector_offset_bytes = offset_bytes; }

}  // namespace pictures

// In place of gguf_init_from_file. The offsets of the tensors are then counted from the start of the file, which is
// how clip.cpp reads them.
extern "C" gguf_context * packer_images_open_gguf(const char * path, gguf_init_params params) {
    const std::unique_ptr<FILE, int (*)(FILE *)> file(ggml_fopen(path, "rb"), std::fclose);
    if (!file || !seek(file.get(), projector_offset_bytes)) {
        return nullptr;
    }
    return gguf_init_from_file_ptr(file.get(), params);
}

// In place of ggml_backend_alloc_ctx_tensors_from_buft and ggml_backend_sched_reserve, whose failures upstream does not
// look for: it would go on without the memory.
extern "C" ggml_backend_buffer_t packer_images_alloc_tensors(ggml_context * tensors, ggml_backend_buffer_type_t type) {
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors_from_buft(tensors, type);
    if (buffer == nullptr) {
        throw std::runtime_error("there is not enough memory for its weights");
    }
    return buffer;
}

extern "C" bool packer_images_reserve(ggml_backend_sched_t scheduler, ggml_cgraph * graph) {
    if (!ggml_backend_sched_reserve(scheduler, graph)) {
        throw std::runtime_error("there is not enough memory to compute in");
    }
    return true;
}

// In place of ggml_abort: a failed assertion ends what is being done, not the process.
extern "C" [[noreturn]] void packer_images_abort(const char *, int, const char * format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    throw std::runtime_error(message);
}
