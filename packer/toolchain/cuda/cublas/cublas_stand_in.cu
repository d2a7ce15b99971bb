/*
 * Stands in for cuBLAS: forwards to the system's copy where there is one, else computes with one plain kernel.
 *
 * Quantized models with flash attention hardly come here; what does are matrices in halves or floats, such as models
 * that are not quantized. What is not offered is refused with a status, never computed wrongly.
 */
#include "cublas_v2.h"
#include "launch.cuh"

#include <dlfcn.h>

#include <new>

#ifndef SYSTEM_COPIES
#define SYSTEM_COPIES "libcublas.so.13", "libcublas.so.12"
#endif

namespace {

const char *const NAMES[] = {SYSTEM_COPIES};

void *system_copy()
{
    static void *const library = []() -> void * {
        for (const char *name : NAMES) {
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

/* The factors are halves where halves are computed with, floats else, and stand in this processor's memory. */
float scalar(const void *value, cublasComputeType_t compute)
{
    return compute == CUBLAS_COMPUTE_16F ? __half2float(*static_cast<const __half *>(value))
                                         : *static_cast<const float *>(value);
}

} // namespace

/* `real` is the system copy's handle, if there is one; nobody else ever sees it. */
struct cublasContext {
    cudaStream_t stream;
    cublasHandle_t real;
};

namespace {

cublasStatus_t run(cublasHandle_t handle, const Product &product)
{
    if (!is_known(product.a.type) || !is_known(product.b.type) || !is_known(product.c.type)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (product.m <= 0 || product.n <= 0 || product.count <= 0) {
        return CUBLAS_STATUS_SUCCESS;
    }
    return launch(product, handle->stream) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // namespace

/* Leave the function by the system copy's one of that name, where there is one. */
#define FORWARD(name, ...)                                                                                             \
    if (handle->real != nullptr) {                                                                                     \
        static const auto real = in_system_copy(&name, #name);                                                         \
        if (real != nullptr) {                                                                                         \
            return real(handle->real, __VA_ARGS__);                                                                    \
        }                                                                                                              \
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
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "out of memory";
    default:
        return "the system's copy of cuBLAS failed";
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
    if (m <= 0 || n <= 0 || count <= 0) {
        return CUBLAS_STATUS_SUCCESS;
    }
    const Solution solution = {a, b, m, n, lda, ldb, count, *alpha};
    return launch(solution, handle->stream) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // extern "C"
