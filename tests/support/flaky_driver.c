/*
 * A Vulkan driver that is Mesa's renderer until a file says otherwise. TRIGGER's first letter tells what becomes of the
 * next work: (w)rites where no memory is, (a)borts, (h)angs, (l)oses the device; or (f)ails to survive the
 * giving back of memory. Children of the program, which only ask, are spared.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE_LOST (-4)

typedef void (*function)(void);
typedef function (*finder)(void *object, const char *name);
typedef int (*negotiator)(uint32_t *version);
typedef void (*freer)(void *device, uint64_t memory, const void *allocator);
typedef int (*submitter)(void *queue, uint32_t count, const void *submits, uint64_t fence);

static submitter submit;
static freer give_back;
static finder find_device_function;

static void *driver(void)
{
    static void *library;
    if (library == NULL) {
        library = dlopen(REAL_DRIVER, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

static int is_child(void)
{
    char text[4096] = "";
    FILE *stream = fopen("/proc/self/cmdline", "r");
    size_t size = stream != NULL ? fread(text, 1, sizeof text - 1, stream) : 0;
    if (stream != NULL) {
        fclose(stream);
    }
    return memmem(text, size, "device-task", 11) != NULL;
}

static int behaviour(void)
{
    FILE *stream = is_child() ? NULL : fopen(TRIGGER, "r");
    int found = stream != NULL ? fgetc(stream) : 0;
    if (stream != NULL) {
        fclose(stream);
    }
    return found;
}

static void flaky_free(void *device, uint64_t memory, const void *allocator)
{
    if (behaviour() == 'f') {
        abort();
    }
    give_back(device, memory, allocator);
}

static int flaky_submit(void *queue, uint32_t count, const void *submits, uint64_t fence)
{
    switch (behaviour()) {
    case 'w':
        *(volatile int *)8 = 1;
        break;
    case 'a':
        abort();
    case 'h':
        for (;;) {
            pause();
        }
    case 'l':
        return DEVICE_LOST;
    }
    return submit(queue, count, submits, fence);
}

static function device_function(void *device, const char *name)
{
    function found = find_device_function(device, name);
    if (found != NULL && strcmp(name, "vkQueueSubmit") == 0) {
        submit = (submitter)found;
        return (function)flaky_submit;
    }
    if (found != NULL && strcmp(name, "vkFreeMemory") == 0) {
        give_back = (freer)found;
        return (function)flaky_free;
    }
    return found;
}

function vk_icdGetInstanceProcAddr(void *instance, const char *name)
{
    finder find = (finder)dlsym(driver(), "vk_icdGetInstanceProcAddr");
    function found = find(instance, name);
    if (found != NULL && strcmp(name, "vkGetDeviceProcAddr") == 0) {
        find_device_function = (finder)found;
        return (function)device_function;
    }
    return found;
}

function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name)
{
    return ((finder)dlsym(driver(), "vk_icdGetPhysicalDeviceProcAddr"))(instance, name);
}

int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version)
{
    return ((negotiator)dlsym(driver(), "vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
