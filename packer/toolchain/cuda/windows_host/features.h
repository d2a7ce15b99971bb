/* NVIDIA's headers ask for glibc's header of this name wherever the compiler is like GNU's. There is none on Windows. */
#pragma once
