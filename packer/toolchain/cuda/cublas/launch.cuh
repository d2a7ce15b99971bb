/*
 * Has the steps of product.cuh done by the GPU's threads. A compiler that knows no CUDA has them done one after another
 * on this processor instead, which is how they are tested.
 */
#pragma once

#include "product.cuh"

#include <cuda_runtime_api.h>

constexpr int MOST_BLOCKS = 65535;
constexpr int SOLVING_THREADS = 128;

inline int blocks_for(int size, int of)
{
    return (size + of - 1) / of;
}

#ifdef __CUDACC__

namespace {

__global__ void multiply(Product product)
{
    __shared__ Tiles tiles;
    const Place place = {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x),
                         static_cast<int>(threadIdx.y)};
    for (int batch = blockIdx.z; batch < product.count; batch += gridDim.z) {
        float sum = 0.0f;
        for (int start = 0; start < product.k; start += TILE) {
            fill(product, batch, place, start, tiles);
            __syncthreads();
            sum += partial_sum(place, tiles);
            __syncthreads();
        }
        finish(product, batch, place, sum);
    }
}

__global__ void solve(Solution solution)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    for (int batch = blockIdx.y; row < solution.m && batch < solution.count; batch += gridDim.y) {
        solve_row(solution, batch, row);
    }
}

bool launch(const Product &product, cudaStream_t stream)
{
    const dim3 grid(blocks_for(product.m, TILE), blocks_for(product.n, TILE),
                    product.count < MOST_BLOCKS ? product.count : MOST_BLOCKS);
    multiply<<<grid, dim3(TILE, TILE), 0, stream>>>(product);
    return cudaGetLastError() == cudaSuccess;
}

bool launch(const Solution &solution, cudaStream_t stream)
{
    const dim3 grid(blocks_for(solution.m, SOLVING_THREADS),
                    solution.count < MOST_BLOCKS ? solution.count : MOST_BLOCKS);
    solve<<<grid, SOLVING_THREADS, 0, stream>>>(solution);
    return cudaGetLastError() == cudaSuccess;
}

} // namespace

#else

namespace {

void multiply_block(const Product &product, int batch, int block_row, int block_column)
{
    Tiles tiles;
    float sums[TILE][TILE] = {};
    for (int start = 0; start < product.k; start += TILE) {
        for (int thread = 0; thread < TILE * TILE; thread++) {
            fill(product, batch, {block_row, block_column, thread % TILE, thread / TILE}, start, tiles);
        }
        for (int thread = 0; thread < TILE * TILE; thread++) {
            const Place place = {block_row, block_column, thread % TILE, thread / TILE};
            sums[place.x][place.y] += partial_sum(place, tiles);
        }
    }
    for (int thread = 0; thread < TILE * TILE; thread++) {
        const Place place = {block_row, block_column, thread % TILE, thread / TILE};
        finish(product, batch, place, sums[place.x][place.y]);
    }
}

bool launch(const Product &product, cudaStream_t)
{
    for (int batch = 0; batch < product.count; batch++) {
        for (int block_row = 0; block_row < blocks_for(product.m, TILE); block_row++) {
            for (int block_column = 0; block_column < blocks_for(product.n, TILE); block_column++) {
                multiply_block(product, batch, block_row, block_column);
            }
        }
    }
    return true;
}

bool launch(const Solution &solution, cudaStream_t)
{
    for (int batch = 0; batch < solution.count; batch++) {
        for (int row = 0; row < solution.m; row++) {
            solve_row(solution, batch, row);
        }
    }
    return true;
}

} // namespace

#endif
