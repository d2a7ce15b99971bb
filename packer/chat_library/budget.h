// What one call may use: templates and replies come from strangers, and llama.cpp's template engine has no limits.
//
// A call runs on a stack of its own. The places where llama.cpp recurses or loops call checkpoint(); memory is counted
// by this library's operator new. Whatever is exceeded ends the call with LimitError.
#pragma once

#include <cstddef>
#include <functional>
#include <new>

namespace packer_chat {

constexpr double MAX_SECONDS = 5.0;
constexpr size_t MAX_LIVE_BYTES = size_t(96) << 20;
constexpr size_t MAX_LIVE_BYTES_WITHIN_ONE_OPERATION = size_t(192) << 20;
constexpr size_t STACK_BYTES = size_t(256) << 20;
// The rest is for destructors of deeply nested values, which can't be stopped.
constexpr size_t MAX_STACK_USED_BYTES = size_t(16) << 20;

// Derives from bad_alloc because operator new throws it too.
class LimitError : public std::bad_alloc {
public:
    explicit LimitError(const char * message) : message(message) {}
    const char * what() const noexcept override { return message; }

private:
    const char * message;
};

// Throws LimitError when the call that runs on this thread has used up what it may use.
void checkpoint();

// Runs work, which must not throw, on a large stack with a new budget; false when there is no memory for the stack.
bool run_within_budget(const std::function<void()> & work);

// The limit that the call on this thread ran into, or nullptr; it may have been caught and turned into something else.
const char * exceeded_limit();

}  // namespace packer_chat
