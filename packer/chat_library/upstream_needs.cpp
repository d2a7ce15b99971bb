// What llama.cpp's chat sources refer to in libllama and ggml, so that this library needs neither.
//
// The model is never given to them: template and tokens come as text. A failed assertion becomes an exception instead of
// ending the process, and nothing is logged, since the messages would show prompts and replies.

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "ggml.h"
#include "llama.h"
#include "log.h"

extern "C" {

void ggml_abort(const char * file, int line, const char * format, ...) {
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    const std::string path(file);
    throw std::runtime_error(path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line) + ": " + message);
}

int32_t llama_chat_apply_template(const char *, const llama_chat_message *, size_t, bool, char *, int32_t) {
    return -1;
}

const char * llama_model_chat_template(const llama_model *, const char *) { return nullptr; }

const llama_vocab * llama_model_get_vocab(const llama_model *) { return nullptr; }

int32_t llama_token_to_piece(const llama_vocab *, llama_token, char *, int32_t, int32_t, bool) { return 0; }

llama_token llama_vocab_bos(const llama_vocab *) { return LLAMA_TOKEN_NULL; }

llama_token llama_vocab_eos(const llama_vocab *) { return LLAMA_TOKEN_NULL; }

bool llama_vocab_get_add_bos(const llama_vocab *) { return false; }

bool llama_vocab_get_add_eos(const llama_vocab *) { return false; }

}  // extern "C"

int common_log_get_verbosity_thold() { return -1; }

common_log * common_log_main() { return nullptr; }

void common_log_add(common_log *, ggml_log_level, const char *, ...) {}
