/* Streams have no meaning on the processor. */
#pragma once

#include <cstddef>

using std::size_t;

typedef struct CUstream_st *cudaStream_t;
