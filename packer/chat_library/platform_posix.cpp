#include <malloc.h>
#include <pthread.h>

#include "platform.h"

namespace packer_chat {

static void * run_work(void * work) {
    (*static_cast<const std::function<void()> *>(work))();
    return nullptr;
}

bool run_on_large_stack(size_t stack_bytes, const std::function<void()> & work) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_t thread;
    void * argument = const_cast<void *>(static_cast<const void *>(&work));
    const bool started = pthread_attr_setstacksize(&attributes, stack_bytes) == 0 &&
                         pthread_create(&thread, &attributes, run_work, argument) == 0;
    pthread_attr_destroy(&attributes);
    if (started) {
        pthread_join(thread, nullptr);
    }
    return started;
}

size_t allocated_bytes(void * memory) {
    return malloc_usable_size(memory);
}

}  // namespace packer_chat
