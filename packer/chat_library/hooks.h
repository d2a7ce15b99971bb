// What the build adds calls of to llama.cpp's sources (packer/toolchain/chat_library.py).
#pragma once

#include "budget.h"

struct common_chat_template;

namespace autoparser {
struct autoparser;
}

namespace packer_chat {

// Fills in what is known about the template, which it finds out the first time; false for the call from within that.
// Analysing renders the template dozens of times and takes longer than the rest of a request.
bool recall_analysis(autoparser::autoparser & parser, const common_chat_template & analysed);

}  // namespace packer_chat
