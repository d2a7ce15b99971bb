#include "budget.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>

#include "platform.h"

namespace packer_chat {

namespace {

using Clock = std::chrono::steady_clock;

struct Budget {
    Clock::time_point deadline;
    uintptr_t stack_top = 0;
    int64_t live_bytes = 0;
    const char * exceeded = nullptr;
};

thread_local Budget * current_budget = nullptr;

[[noreturn]] void refuse(Budget & budget, const char * message) {
    budget.exceeded = message;
    throw LimitError(message);
}

uintptr_t stack_position() {
    return reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
}

// Exceptions are only thrown where none is on its way: destructors allocate while the stack unwinds.
void refuse_if_too_much(size_t size_bytes) {
    Budget * budget = current_budget;
    if (budget == nullptr) {
        return;
    }
    const bool is_too_much = budget->live_bytes + int64_t(size_bytes) > int64_t(MAX_LIVE_BYTES_WITHIN_ONE_OPERATION);
    if (is_too_much && std::uncaught_exceptions() == 0) {
        refuse(*budget, "it needs too much memory");
    }
}

void * take(size_t size_bytes) noexcept {
    void * memory = std::malloc(size_bytes == 0 ? 1 : size_bytes);
    if (memory != nullptr && current_budget != nullptr) {
        current_budget->live_bytes += int64_t(allocated_bytes(memory));
    }
    return memory;
}

void release(void * memory) noexcept {
    if (memory != nullptr && current_budget != nullptr) {
        current_budget->live_bytes -= int64_t(allocated_bytes(memory));
    }
    std::free(memory);
}

}  // namespace

void checkpoint() {
    Budget * budget = current_budget;
    if (budget == nullptr) {
        return;
    }
    if (budget->exceeded != nullptr) {
        // Upstream catches errors and tries something else.
        throw LimitError(budget->exceeded);
    }
    if (budget->stack_top - stack_position() > MAX_STACK_USED_BYTES) {
        refuse(*budget, "it is nested too deeply");
    }
    if (budget->live_bytes > int64_t(MAX_LIVE_BYTES)) {
        refuse(*budget, "it needs too much memory");
    }
    if (Clock::now() > budget->deadline) {
        refuse(*budget, "it takes too long");
    }
}

bool run_within_budget(const std::function<void()> & work) {
    return run_on_large_stack(STACK_BYTES, [&work] {
        Budget budget;
        budget.deadline = Clock::now() + std::chrono::milliseconds(int64_t(MAX_SECONDS * 1000));
        budget.stack_top = stack_position();
        current_budget = &budget;
        work();
        current_budget = nullptr;
    });
}

const char * exceeded_limit() {
    return current_budget == nullptr ? nullptr : current_budget->exceeded;
}

}  // namespace packer_chat

// These replace the C++ library's own, inside this library only: none of its symbols but the C interface are visible.

void * operator new(size_t size_bytes) {
    packer_chat::refuse_if_too_much(size_bytes);
    void * memory = packer_chat::take(size_bytes);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

void * operator new[](size_t size_bytes) { return operator new(size_bytes); }

void * operator new(size_t size_bytes, const std::nothrow_t &) noexcept { return packer_chat::take(size_bytes); }

void * operator new[](size_t size_bytes, const std::nothrow_t &) noexcept { return packer_chat::take(size_bytes); }

void operator delete(void * memory) noexcept { packer_chat::release(memory); }

void operator delete[](void * memory) noexcept { packer_chat::release(memory); }

void operator delete(void * memory, size_t) noexcept { packer_chat::release(memory); }

void operator delete[](void * memory, size_t) noexcept { packer_chat::release(memory); }

void operator delete(void * memory, const std::nothrow_t &) noexcept { packer_chat::release(memory); }

void operator delete[](void * memory, const std::nothrow_t &) noexcept { packer_chat::release(memory); }
