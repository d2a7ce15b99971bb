/*
 * The arithmetic of the stand-in for cuBLAS, in steps that one thread does: for the GPU's threads side by side
 * (launch.cuh), and in the tests one after another on the processor.
 *
 * Matrices stand column by column, as everywhere in BLAS. A block of threads makes a square of TILE by TILE results; it
 * takes squares of the operands to itself and adds their products in floats.
 */
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <cstddef>

#ifdef __CUDACC__
#define ANYWHERE __host__ __device__ inline
#else
#define ANYWHERE inline
#endif

constexpr int TILE = 16;

/* Where the matrices of a batch are: `pointers` on the device, or one beginning and a stride in elements. */
struct Operand {
    const void *base;
    const void *const *pointers;
    long long stride;
    cudaDataType_t type;
    int leading;
    bool transposed;
};

/* c = alpha * a * b + beta * c, `count` times: a has m rows and k columns, b has n columns, after transposition. */
struct Product {
    Operand a, b, c;
    int m, n, k, count;
    float alpha, beta;
};

/* What the threads of a block share; one column more, so that neighbours don't stand in one bank of memory. */
struct Tiles {
    float left[TILE][TILE + 1], right[TILE][TILE + 1];
};

/* x * upper = alpha * x, `count` times, x with m rows and n columns. */
struct Solution {
    const float *const *upper;
    float *const *x;
    int m, n, lda, ldb, count;
    float alpha;
};

/* The place of a thread: its block's square of results, and its own row and column in that. */
struct Place {
    int block_row, block_column, x, y;
};

ANYWHERE bool is_known(cudaDataType_t type)
{
    return type == CUDA_R_16F || type == CUDA_R_16BF || type == CUDA_R_32F;
}

ANYWHERE float load(const void *values, cudaDataType_t type, size_t index)
{
    switch (type) {
    case CUDA_R_16F:
        return __half2float(static_cast<const __half *>(values)[index]);
    case CUDA_R_16BF:
        return __bfloat162float(static_cast<const __nv_bfloat16 *>(values)[index]);
    default:
        return static_cast<const float *>(values)[index];
    }
}

ANYWHERE void store(void *values, cudaDataType_t type, size_t index, float value)
{
    switch (type) {
    case CUDA_R_16F:
        static_cast<__half *>(values)[index] = __float2half(value);
        break;
    case CUDA_R_16BF:
        static_cast<__nv_bfloat16 *>(values)[index] = __float2bfloat16(value);
        break;
    default:
        static_cast<float *>(values)[index] = value;
    }
}

ANYWHERE const void *matrix(const Operand &operand, int batch)
{
    if (operand.pointers != nullptr) {
        return operand.pointers[batch];
    }
    const long long size_bytes = operand.type == CUDA_R_32F ? 4 : 2;
    return static_cast<const char *>(operand.base) + operand.stride * batch * size_bytes;
}

/* The element in `row` and `column` of an operand after its transposition, zero outside. */
ANYWHERE float element(const Operand &operand, const void *values, int row, int column, int rows, int columns)
{
    if (row >= rows || column >= columns) {
        return 0.0f;
    }
    const size_t index = operand.transposed ? static_cast<size_t>(row) * operand.leading + column
                                            : static_cast<size_t>(column) * operand.leading + row;
    return load(values, operand.type, index);
}

/* Put one element of either operand into the tiles; neighbours in x read neighbours in memory. */
ANYWHERE void fill(const Product &product, int batch, const Place &place, int start, Tiles &tiles)
{
    const int left_row = product.a.transposed ? place.y : place.x, left_column = place.x + place.y - left_row;
    tiles.left[left_row][left_column] = element(product.a, matrix(product.a, batch), place.block_row * TILE + left_row,
                                                start + left_column, product.m, product.k);
    const int right_row = product.b.transposed ? place.y : place.x, right_column = place.x + place.y - right_row;
    tiles.right[right_row][right_column] =
        element(product.b, matrix(product.b, batch), start + right_row, place.block_column * TILE + right_column,
                product.k, product.n);
}

/* The part of one result that the tiles give. */
ANYWHERE float partial_sum(const Place &place, const Tiles &tiles)
{
    float sum = 0.0f;
    for (int step = 0; step < TILE; step++) {
        sum += tiles.left[place.x][step] * tiles.right[step][place.y];
    }
    return sum;
}

/* Write one result; what stood there is not read when it counts nothing. */
ANYWHERE void finish(const Product &product, int batch, const Place &place, float sum)
{
    const int row = place.block_row * TILE + place.x, column = place.block_column * TILE + place.y;
    if (row < product.m && column < product.n) {
        void *c = const_cast<void *>(matrix(product.c, batch));
        const size_t index = static_cast<size_t>(column) * product.c.leading + row;
        const float before = product.beta == 0.0f ? 0.0f : product.beta * load(c, product.c.type, index);
        store(c, product.c.type, index, product.alpha * sum + before);
    }
}

/* Solve one row of one x. */
ANYWHERE void solve_row(const Solution &solution, int batch, int row)
{
    const float *upper = solution.upper[batch];
    float *x = solution.x[batch];
    for (int column = 0; column < solution.n; column++) {
        const float *factors = upper + static_cast<size_t>(column) * solution.lda;
        float sum = solution.alpha * x[static_cast<size_t>(column) * solution.ldb + row];
        for (int step = 0; step < column; step++) {
            sum -= x[static_cast<size_t>(step) * solution.ldb + row] * factors[step];
        }
        x[static_cast<size_t>(column) * solution.ldb + row] = sum / factors[column];
    }
}
