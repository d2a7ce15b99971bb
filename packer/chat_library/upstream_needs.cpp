// What llama.cpp's chat sources refer to outside of themselves: a little of common.cpp, libllama and ggml, so that this
// library needs none of them.
//
// The model is never given to them: template and tokens come as text. A failed assertion becomes an exception instead of
// ending the process, and nothing is logged, since the messages would show prompts and replies.

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "common.h"
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

std::string string_join(const std::vector<std::string> & values, const std::string & separator) {
    std::string joined;
    for (size_t index = 0; index < values.size(); ++index) {
        joined += (index == 0 ? "" : separator) + values[index];
    }
    return joined;
}

std::vector<std::string> string_split(const std::string & text, const std::string & delimiter) {
    if (delimiter.empty()) {
        return {text};
    }
    std::vector<std::string> parts;
    size_t start = 0;
    for (size_t end; (end = text.find(delimiter, start)) != std::string::npos; start = end + delimiter.size()) {
        parts.push_back(text.substr(start, end - start));
    }
    parts.push_back(text.substr(start));
    return parts;
}

std::string string_repeat(const std::string & text, size_t count) {
    std::string repeated;
    for (size_t done = 0; done < count; ++done) {
        repeated += text;
    }
    return repeated;
}

void string_replace_all(std::string & text, const std::string & search, const std::string & replacement) {
    if (search.empty()) {
        return;
    }
    for (size_t at = 0; (at = text.find(search, at)) != std::string::npos; at += replacement.size()) {
        text.replace(at, search.size(), replacement);
    }
}

std::string common_token_to_piece(const llama_vocab *, llama_token, bool) { return std::string(); }

std::vector<llama_token> common_tokenize(const llama_vocab *, const std::string &, bool, bool) { return {}; }
