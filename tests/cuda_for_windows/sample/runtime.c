/* A CUDA runtime that writes down what it is asked for, and the program that asks. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    unsigned x, y, z;
} dim3;

typedef struct {
    int magic, version;
    const char *code;
    void *unused;
} wrapper;

static struct {
    const void *function;
    const char *name;
} kernels[8];
static int num_kernels, num_removed;
static dim3 grid, block;
static size_t shared;

void **__cudaRegisterFatBinary(const wrapper *fat)
{
    printf("code %x %d %s aligned to %d\n", fat->magic, fat->version, fat->code, (int)((uintptr_t)fat->code % 8));
    return (void **)&kernels;
}

void __cudaRegisterFunction(void **handle, const void *function, char *symbol, const char *name)
{
    (void)handle;
    kernels[num_kernels].function = function;
    kernels[num_kernels++].name = name;
    printf("kernel %s %s\n", name, strcmp(symbol, name) == 0 ? "" : symbol);
}

void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }

void __cudaUnregisterFatBinary(void **handle)
{
    (void)handle;
    num_removed++;
}

unsigned __cudaPushCallConfiguration(dim3 new_grid, dim3 new_block, size_t new_shared, void *stream)
{
    (void)stream;
    grid = new_grid;
    block = new_block;
    shared = new_shared;
    return 0;
}

int __cudaPopCallConfiguration(dim3 *old_grid, dim3 *old_block, size_t *old_shared, void **stream)
{
    *old_grid = grid;
    *old_block = block;
    *old_shared = shared;
    *stream = 0;
    return 0;
}

int cudaLaunchKernel(const void *function, dim3 in_grid, dim3 in_block, void **arguments, size_t bytes, void *stream)
{
    (void)stream;
    for (int at = 0; at < num_kernels; at++) {
        if (kernels[at].function == function) {
            printf("start %s <<<%u, %u, %u>>> %p %lld\n", kernels[at].name, in_grid.x, in_block.x, (unsigned)bytes,
                   *(void **)arguments[0], *(long long *)arguments[1]);
        }
    }
    return 0;
}

void run(void *memory);

int main(void)
{
    run((void *)0x1234);
    return num_removed;
}
