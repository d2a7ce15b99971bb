/*
 * Stands in for cuBLAS: forwards to the system's copy where there is one, else computes with one plain kernel.
 *
 * Quantized models with flash attention hardly come here; what does are matrices in halves or floats. The kernel works
 * on tiles of 16 by 16 in shared memory and accumulates floats. Matrices stand column by column, as everywhere in BLAS.
 */
#include "cublas_v2.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <dlfcn.h>

#include <new>

namespace {

constexpr int TILE = 16;
constexpr int MOST_BLOCKS = 65535;
const char *const SYSTEM_COPIES[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};

/* Where the matrices of a batch are: `pointers` on the device, or one beginning and a stride in elements. */
struct Operand {
    const void *base;
    const void *const *pointers;
    long long stride;
    cudaDataType_t type;
    int leading;
    bool transposed;
};

struct Product {
    Operand a, b, c;
    int m, n, k, count;
    float alpha, beta;
};

void *system_copy()
{
    static void *const library = []() -> void * {
        for (const char *name : SYSTEM_COPIES) {
            if (void *found = dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
                return found;
            }
        }
        return nullptr;
    }();
    return library;
}

template <typename Function> Function in_system_copy(Function, const char *name)
{
    void *library = system_copy();
    return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
}

__device__ size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

__device__ const void *matrix(const Operand &operand, int batch)
{
    if (operand.pointers != nullptr) {
        return operand.pointers[batch];
    }
    return static_cast<const char *>(operand.base) + operand.stride * batch * size_of(operand.type);
}

__device__ float load(const void *values, cudaDataType_t type, size_t index)
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

__device__ void store(void *values, cudaDataType_t type, size_t index, float value)
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

/* The element in `row` and `column` of an operand after its transposition, zero outside. */
__device__ float element(const Operand &operand, const void *values, int row, int column, int rows, int columns)
{
    if (row >= rows || column >= columns) {
        return 0.0f;
    }
    const size_t index = operand.transposed ? static_cast<size_t>(row) * operand.leading + column
                                            : static_cast<size_t>(column) * operand.leading + row;
    return load(values, operand.type, index);
}

__global__ void multiply(Product product)
{
    __shared__ float left[TILE][TILE + 1], right[TILE][TILE + 1];
    const int row = blockIdx.x * TILE + threadIdx.x, column = blockIdx.y * TILE + threadIdx.y;
    for (int batch = blockIdx.z; batch < product.count; batch += gridDim.z) {
        const void *a = matrix(product.a, batch), *b = matrix(product.b, batch);
        void *c = const_cast<void *>(matrix(product.c, batch));
        float sum = 0.0f;
        for (int start = 0; start < product.k; start += TILE) {
            left[threadIdx.x][threadIdx.y] =
                element(product.a, a, row, start + threadIdx.y, product.m, product.k);
            right[threadIdx.x][threadIdx.y] =
                element(product.b, b, start + threadIdx.x, column, product.k, product.n);
            __syncthreads();
            for (int step = 0; step < TILE; step++) {
                sum += left[threadIdx.x][step] * right[step][threadIdx.y];
            }
            __syncthreads();
        }
        if (row < product.m && column < product.n) {
            const size_t index = static_cast<size_t>(column) * product.c.leading + row;
            const float before = product.beta == 0.0f ? 0.0f : product.beta * load(c, product.c.type, index);
            store(c, product.c.type, index, product.alpha * sum + before);
        }
    }
}

/* Solve x * upper = alpha * row for one row of `b` a thread. */
__global__ void solve_upper(int m, int n, float alpha, const float *const *a, int lda, float *const *b, int ldb,
                            int count)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    for (int batch = blockIdx.y; row < m && batch < count; batch += gridDim.y) {
        const float *upper = a[batch];
        float *x = b[batch];
        for (int column = 0; column < n; column++) {
            float sum = alpha * x[static_cast<size_t>(column) * ldb + row];
            for (int step = 0; step < column; step++) {
                sum -= x[static_cast<size_t>(step) * ldb + row] * upper[static_cast<size_t>(column) * lda + step];
            }
            x[static_cast<size_t>(column) * ldb + row] = sum / upper[static_cast<size_t>(column) * lda + column];
        }
    }
}

bool is_known(cudaDataType_t type)
{
    return type == CUDA_R_16F || type == CUDA_R_16BF || type == CUDA_R_32F;
}

float scalar(const void *value, cublasComputeType_t compute)
{
    return compute == CUBLAS_COMPUTE_16F ? __half2float(*static_cast<const __half *>(value))
                                         : *static_cast<const float *>(value);
}

} // namespace

/* `real` is the system copy's handle, if there is one. */
struct cublasContext {
    cudaStream_t stream;
    cublasHandle_t real;
};

namespace {

cublasStatus_t launched()
{
    return cudaGetLastError() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t run(cublasHandle_t handle, const Product &product)
{
    if (!is_known(product.a.type) || !is_known(product.b.type) || !is_known(product.c.type)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (product.m <= 0 || product.n <= 0 || product.count <= 0) {
        return CUBLAS_STATUS_SUCCESS;
    }
    const int depth = product.count < MOST_BLOCKS ? product.count : MOST_BLOCKS;
    const dim3 grid((product.m + TILE - 1) / TILE, (product.n + TILE - 1) / TILE, depth), block(TILE, TILE);
    multiply<<<grid, block, 0, handle->stream>>>(product);
    return launched();
}

} // namespace

#define FORWARD(name, ...)                                                                                             \
    if (handle->real != nullptr) {                                                                                     \
        auto real = in_system_copy(&name, #name);                                                                      \
        return real == nullptr ? CUBLAS_STATUS_NOT_SUPPORTED : real(handle->real, __VA_ARGS__);                        \
    }

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = new (std::nothrow) cublasContext{nullptr, nullptr};
    if (*handle == nullptr) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    auto real = in_system_copy(&cublasCreate_v2, "cublasCreate_v2");
    if (real != nullptr && real(&(*handle)->real) != CUBLAS_STATUS_SUCCESS) {
        (*handle)->real = nullptr;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    auto real = in_system_copy(&cublasDestroy_v2, "cublasDestroy_v2");
    if (handle->real != nullptr && real != nullptr) {
        real(handle->real);
    }
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    FORWARD(cublasSetStream_v2, stream)
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t size_bytes)
{
    FORWARD(cublasSetWorkspace_v2, workspace, size_bytes)
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    FORWARD(cublasSetMathMode, mode)
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "the operation is not supported without a system copy of cuBLAS";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "the GPU failed to execute";
    default:
        return "cuBLAS failed";
    }
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void *alpha, const void *a, cudaDataType_t atype, int lda, const void *b,
                            cudaDataType_t btype, int ldb, const void *beta, void *c, cudaDataType_t ctype, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    FORWARD(cublasGemmEx, transa, transb, m, n, k, alpha, a, atype, lda, b, btype, ldb, beta, c, ctype, ldc, compute,
            algorithm)
    return run(handle, {{a, nullptr, 0, atype, lda, transa != CUBLAS_OP_N},
                        {b, nullptr, 0, btype, ldb, transb != CUBLAS_OP_N},
                        {c, nullptr, 0, ctype, ldc, false},
                        m, n, k, 1, scalar(alpha, compute), scalar(beta, compute)});
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                          int m, int n, int k, const void *alpha, const void *a, cudaDataType_t atype,
                                          int lda, long long stridea, const void *b, cudaDataType_t btype, int ldb,
                                          long long strideb, const void *beta, void *c, cudaDataType_t ctype, int ldc,
                                          long long stridec, int count, cublasComputeType_t compute,
                                          cublasGemmAlgo_t algorithm)
{
    FORWARD(cublasGemmStridedBatchedEx, transa, transb, m, n, k, alpha, a, atype, lda, stridea, b, btype, ldb, strideb,
            beta, c, ctype, ldc, stridec, count, compute, algorithm)
    return run(handle, {{a, nullptr, stridea, atype, lda, transa != CUBLAS_OP_N},
                        {b, nullptr, strideb, btype, ldb, transb != CUBLAS_OP_N},
                        {c, nullptr, stridec, ctype, ldc, false},
                        m, n, k, count, scalar(alpha, compute), scalar(beta, compute)});
}

cublasStatus_t cublasGemmBatchedEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m,
                                   int n, int k, const void *alpha, const void *const a[], cudaDataType_t atype,
                                   int lda, const void *const b[], cudaDataType_t btype, int ldb, const void *beta,
                                   void *const c[], cudaDataType_t ctype, int ldc, int count,
                                   cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    FORWARD(cublasGemmBatchedEx, transa, transb, m, n, k, alpha, a, atype, lda, b, btype, ldb, beta, c, ctype, ldc,
            count, compute, algorithm)
    return run(handle, {{nullptr, a, 0, atype, lda, transa != CUBLAS_OP_N},
                        {nullptr, b, 0, btype, ldb, transb != CUBLAS_OP_N},
                        {nullptr, c, 0, ctype, ldc, false},
                        m, n, k, count, scalar(alpha, compute), scalar(beta, compute)});
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                              int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                              const float *beta, float *c, int ldc)
{
    FORWARD(cublasSgemm_v2, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
    return cublasGemmEx(handle, transa, transb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c,
                        CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                         int m, int n, int k, const float *alpha, const float *a, int lda,
                                         long long stridea, const float *b, int ldb, long long strideb,
                                         const float *beta, float *c, int ldc, long long stridec, int count)
{
    FORWARD(cublasSgemmStridedBatched, transa, transb, m, n, k, alpha, a, lda, stridea, b, ldb, strideb, beta, c, ldc,
            stridec, count)
    return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, a, CUDA_R_32F, lda, stridea, b,
                                      CUDA_R_32F, ldb, strideb, beta, c, CUDA_R_32F, ldc, stridec, count,
                                      CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemmBatched(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m,
                                  int n, int k, const float *alpha, const float *const a[], int lda,
                                  const float *const b[], int ldb, const float *beta, float *const c[], int ldc,
                                  int count)
{
    FORWARD(cublasSgemmBatched, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count)
    return run(handle, {{nullptr, reinterpret_cast<const void *const *>(a), 0, CUDA_R_32F, lda, transa != CUBLAS_OP_N},
                        {nullptr, reinterpret_cast<const void *const *>(b), 0, CUDA_R_32F, ldb, transb != CUBLAS_OP_N},
                        {nullptr, reinterpret_cast<const void *const *>(c), 0, CUDA_R_32F, ldc, false},
                        m, n, k, count, *alpha, *beta});
}

cublasStatus_t cublasStrsmBatched(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,
                                  cublasOperation_t trans, cublasDiagType_t diagonal, int m, int n, const float *alpha,
                                  const float *const a[], int lda, float *const b[], int ldb, int count)
{
    FORWARD(cublasStrsmBatched, side, fill, trans, diagonal, m, n, alpha, a, lda, b, ldb, count)
    if (side != CUBLAS_SIDE_RIGHT || fill != CUBLAS_FILL_MODE_UPPER || trans != CUBLAS_OP_N ||
        diagonal != CUBLAS_DIAG_NON_UNIT) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (m > 0 && n > 0 && count > 0) {
        constexpr int THREADS = 128;
        const dim3 grid((m + THREADS - 1) / THREADS, count < MOST_BLOCKS ? count : MOST_BLOCKS);
        solve_upper<<<grid, THREADS, 0, handle->stream>>>(m, n, *alpha, a, lda, b, ldb, count);
    }
    return launched();
}

} // extern "C"
