/*
 * A GPU backend that misbehaves on purpose. BEHAVIOUR chooses how; PLAIN is a device that reports well and has memory
 * for nothing. Those from NO_WEIGHTS on can be started: NO_WEIGHTS has memory for nothing, NO_COMPUTE for one thing,
 * and FAILS for everything, but its computations fail, and it can't be started a second time. ABORT_LATER and
 * CRASH_LATER end the process that puts a model on them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ggml-backend-impl.h"

#ifdef _WIN32
#include <malloc.h>
#define aligned_alloc(alignment, size) _aligned_malloc(size, alignment)
#endif

enum {
    PLAIN,
    CRASH,
    HANG,
    TOO_MANY,
    NO_TEXT,
    TOO_MUCH,
    MORE_FREE_THAN_TOTAL,
    NOTHING,
    NO_START,
    NO_WEIGHTS,
    NO_COMPUTE,
    FAILS,
    ABORT_LATER,
    CRASH_LATER,
};

#define MEBIBYTE ((size_t)1 << 20)

static struct ggml_backend_device device;
static struct ggml_backend_reg registry;
static struct ggml_backend_buffer_type buffer_type;

static const char *buffer_name(ggml_backend_buffer_type_t type)
{
    (void)type;
    return "Standin0";
}

static void free_buffer(ggml_backend_buffer_t buffer)
{
    free(buffer->context);
}

static void *buffer_base(ggml_backend_buffer_t buffer)
{
    return buffer->context;
}

static void set_tensor(ggml_backend_buffer_t buffer, struct ggml_tensor *tensor, const void *data, size_t offset,
                       size_t size)
{
    (void)buffer;
    memcpy((char *)tensor->data + offset, data, size);
}

static void get_tensor(ggml_backend_buffer_t buffer, const struct ggml_tensor *tensor, void *data, size_t offset,
                       size_t size)
{
    (void)buffer;
    memcpy(data, (const char *)tensor->data + offset, size);
}

static ggml_backend_buffer_t some_buffer(ggml_backend_buffer_type_t type, size_t size)
{
    static int num_buffers;
    if (BEHAVIOUR == ABORT_LATER) {
        abort();
    }
    if (BEHAVIOUR == CRASH_LATER) {
        *(volatile int *)8 = 1;
    }
    const int most = BEHAVIOUR == FAILS ? 1000 : BEHAVIOUR == NO_COMPUTE ? 1 : 0;
    if (num_buffers == most) {
        return NULL;
    }
    num_buffers++;
    const struct ggml_backend_buffer_i interface = {
        .free_buffer = free_buffer, .get_base = buffer_base, .set_tensor = set_tensor, .get_tensor = get_tensor};
    return ggml_backend_buffer_init(type, interface, aligned_alloc(64, (size + 63) / 64 * 64), size);
}

static size_t alignment(ggml_backend_buffer_type_t type)
{
    (void)type;
    return 64;
}

static const char *device_name(ggml_backend_dev_t dev)
{
    (void)dev;
    return "Standin0";
}

static const char *device_description(ggml_backend_dev_t dev)
{
    (void)dev;
    return BEHAVIOUR == NO_TEXT ? "\x1b[31m\xff\xfe\x01" : "Stand-in GPU";
}

static void device_memory(ggml_backend_dev_t dev, size_t *free_bytes, size_t *total_bytes)
{
    (void)dev;
    *total_bytes = BEHAVIOUR == TOO_MUCH ? (size_t)1 << 60 : 8192 * MEBIBYTE;
    *free_bytes = BEHAVIOUR == MORE_FREE_THAN_TOTAL ? 9000 * MEBIBYTE : *total_bytes - 512 * MEBIBYTE;
}

static enum ggml_backend_dev_type device_type(ggml_backend_dev_t dev)
{
    (void)dev;
    return GGML_BACKEND_DEVICE_TYPE_GPU;
}

static void device_properties(ggml_backend_dev_t dev, struct ggml_backend_dev_props *properties)
{
    memset(properties, 0, sizeof *properties);
    properties->name = device_name(dev);
    properties->description = device_description(dev);
    properties->type = device_type(dev);
    device_memory(dev, &properties->memory_free, &properties->memory_total);
}

static const char *backend_name(ggml_backend_t backend)
{
    (void)backend;
    return "Standin0";
}

static void free_backend(ggml_backend_t backend)
{
    (void)backend;
}

static enum ggml_status fail(ggml_backend_t backend, struct ggml_cgraph *graph)
{
    (void)backend;
    (void)graph;
    return GGML_STATUS_FAILED;
}

static ggml_backend_t some_backend(ggml_backend_dev_t dev, const char *parameters)
{
    static struct ggml_backend backend;
    static bool is_started;
    (void)parameters;
    if (BEHAVIOUR < NO_WEIGHTS || is_started) {
        return NULL;
    }
    is_started = true;
    backend = (struct ggml_backend){
        .iface = {.get_name = backend_name, .free = free_backend, .graph_compute = fail}, .device = dev};
    return &backend;
}

static ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t dev)
{
    (void)dev;
    return &buffer_type;
}

static bool supports_operation(ggml_backend_dev_t dev, const struct ggml_tensor *operation)
{
    (void)dev;
    (void)operation;
    return true;
}

static bool supports_buffer_type(ggml_backend_dev_t dev, ggml_backend_buffer_type_t type)
{
    (void)dev;
    return type == &buffer_type;
}

static const char *registry_name(ggml_backend_reg_t reg)
{
    (void)reg;
    return "Standin";
}

static size_t device_count(ggml_backend_reg_t reg)
{
    (void)reg;
    if (BEHAVIOUR == CRASH) {
        raise(SIGSEGV);
    }
    while (BEHAVIOUR == HANG) {
        sleep(1000);
    }
    return BEHAVIOUR == TOO_MANY ? 1000 : BEHAVIOUR == NOTHING ? 0 : 1;
}

static ggml_backend_dev_t get_device(ggml_backend_reg_t reg, size_t index)
{
    (void)reg;
    (void)index;
    return &device;
}

__attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void)
{
    buffer_type = (struct ggml_backend_buffer_type){
        .iface = {.get_name = buffer_name, .alloc_buffer = some_buffer, .get_alignment = alignment},
        .device = &device,
    };
    device = (struct ggml_backend_device){
        .iface = {.get_name = device_name,
                  .get_description = device_description,
                  .get_memory = device_memory,
                  .get_type = device_type,
                  .get_props = device_properties,
                  .init_backend = some_backend,
                  .get_buffer_type = device_buffer_type,
                  .supports_op = supports_operation,
                  .supports_buft = supports_buffer_type},
        .reg = &registry,
    };
    registry = (struct ggml_backend_reg){
        .api_version = GGML_BACKEND_API_VERSION,
        .iface = {.get_name = registry_name, .get_device_count = device_count, .get_device = get_device},
    };
    return BEHAVIOUR == NO_START ? NULL : &registry;
}
