/* Stands in for NVIDIA's header of this name; what the sample needs is in cuda_runtime.h. */
#pragma once
