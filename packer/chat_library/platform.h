// What differs between operating systems; one .cpp file for each.
#pragma once

#include <cstddef>
#include <functional>

namespace packer_chat {

// Runs work to its end on a new thread with a stack of that size; false when there is no such thread to be had.
bool run_on_large_stack(size_t stack_bytes, const std::function<void()> & work);

// Bytes that malloc really set aside for this memory.
size_t allocated_bytes(void * memory);

}  // namespace packer_chat
