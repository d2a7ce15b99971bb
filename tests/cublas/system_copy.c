/*
 * A system's cuBLAS as the stand-in meets it. Every function says by its status what it was called with, and the handle
 * must be the one that was given out.
 */
#include <stddef.h>

enum { SUCCESS = 0, INVALID_VALUE = 7, SEEN = 100 };

static int the_handle, is_alive;

int cublasCreate_v2(void **handle)
{
#ifdef REFUSES
    (void)handle;
    return 1;
#else
    *handle = &the_handle;
    is_alive++;
    return SUCCESS;
#endif
}

int cublasDestroy_v2(void *handle)
{
    is_alive -= handle == &the_handle;
    return SUCCESS;
}

int handles_alive(void)
{
    return is_alive;
}

int cublasSetStream_v2(void *handle, void *stream)
{
    return handle == &the_handle && stream == (void *)0x51 ? SUCCESS : INVALID_VALUE;
}

int cublasGemmEx(void *handle, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int atype,
                 int lda, const void *b, int btype, int ldb, const void *beta, void *c, int ctype, int ldc, int compute,
                 int algorithm)
{
    const int pointers = alpha != NULL && a != NULL && b != NULL && beta != NULL && c != NULL;
    const int numbers = transa + transb + m + n + k + atype + lda + btype + ldb + ctype + ldc + compute + algorithm;
    return handle == &the_handle && pointers ? SEEN + numbers : INVALID_VALUE;
}
