/* The types of CUDA's header of this name that the stand-in uses, for a compiler that knows no CUDA. */
#pragma once

typedef enum { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_8I = 3, CUDA_R_16BF = 14 } cudaDataType_t;
