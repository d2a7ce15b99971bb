#include <malloc.h>
#include <process.h>
#include <windows.h>

#include "platform.h"

namespace packer_chat {

static unsigned __stdcall run_work(void * work) {
    (*static_cast<const std::function<void()> *>(work))();
    return 0;
}

bool run_on_large_stack(size_t stack_bytes, const std::function<void()> & work) {
    void * argument = const_cast<void *>(static_cast<const void *>(&work));
    const uintptr_t thread = _beginthreadex(nullptr, static_cast<unsigned>(stack_bytes), run_work, argument,
                                            STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
    if (thread == 0) {
        return false;
    }
    WaitForSingleObject(reinterpret_cast<HANDLE>(thread), INFINITE);
    CloseHandle(reinterpret_cast<HANDLE>(thread));
    return true;
}

size_t allocated_bytes(void * memory) {
    return _msize(memory);
}

}  // namespace packer_chat
