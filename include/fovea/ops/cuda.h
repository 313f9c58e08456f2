/* What libfovea_cuda.so exports. The program never links it: it is loaded on demand, from the program's own
 * folder, so that fovea starts where CUDA is absent. Local. */
#ifndef FOVEA_OPS_CUDA_H
#define FOVEA_OPS_CUDA_H

#include <stddef.h>

#define FV_CUDA_LIBRARY "libfovea_cuda.so"

/* Append one line for the CUDA runtime and one for each device (name, memory, compute capability) to text,
 * NUL-terminated and cut at size. Returns the number of devices; -1 if the runtime refuses, with its reason
 * in text. */
int fv_cuda_describe(char *text, size_t size);
typedef int (*fv_cuda_describe_function)(char *text, size_t size);

#endif
