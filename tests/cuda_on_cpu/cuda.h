// The driver's part of Hopper's copy engine, on a CPU: maps of tensors, in place of NVIDIA's header of the same name.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>

#include "cuda_runtime.h"

using cuuint32_t = uint32_t;
using cuuint64_t = uint64_t;
enum CUresult { CUDA_SUCCESS, CUDA_ERROR_INVALID_VALUE };
enum CUtensorMapDataType {
  CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
  CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
};
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_128B };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE };

struct CUtensorMap {
  const char* from;
  int64_t sizes[4], strides[4];  // in numbers and in bytes, the channels' first
  int bytes;                     // of a number
  int steps[4], box[4];          // box: of tiles; of pixels {channels, pixels}
  int lower[2], upper[2];        // of pixels: of w and h
  bool rounds;                   // to TF32
};

namespace cuda_on_cpu {

// What both kinds have in common, with the limits of the CUDA driver's manual.
inline bool describe(CUtensorMap* map, CUtensorMapDataType type, uint32_t rank, void* from, const uint64_t* sizes,
                     const uint64_t* strides, const uint32_t* steps) {
  *map = {};
  map->from = static_cast<const char*>(from);
  map->bytes = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16 || type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 4;
  map->rounds = type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
  bool good = reinterpret_cast<uintptr_t>(from) % 16 == 0;
  for (uint32_t i = 0; i < rank; ++i) {
    const uint64_t bytes = i == 0 ? 16 : strides[i - 1];
    good = good && sizes[i] > 0 && sizes[i] <= uint64_t{1} << 32 && bytes % 16 == 0 && bytes < uint64_t{1} << 40 &&
           steps[i] >= 1 && steps[i] <= 8;
    map->sizes[i] = static_cast<int64_t>(sizes[i]);
    map->strides[i] = i == 0 ? map->bytes : static_cast<int64_t>(bytes);
    map->steps[i] = static_cast<int>(steps[i]);
  }
  return good;
}

}  // namespace cuda_on_cpu

inline CUresult cuTensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* from,
                                        const cuuint64_t* sizes, const cuuint64_t* strides, const int* lower,
                                        const int* upper, cuuint32_t channels, cuuint32_t pixels,
                                        const cuuint32_t* steps, CUtensorMapInterleave, CUtensorMapSwizzle,
                                        CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  bool good = cuda_on_cpu::describe(map, type, rank, from, sizes, strides, steps) && pixels <= 1024;
  good = good && channels * static_cast<unsigned>(map->bytes) <= 128;
  for (int i = 0; i < 2; ++i) {
    good = good && lower[i] >= -128 && lower[i] <= 127 && upper[i] >= -128 && upper[i] <= 127;
    map->lower[i] = lower[i];
    map->upper[i] = upper[i];
  }
  map->box[0] = static_cast<int>(channels);
  map->box[1] = static_cast<int>(pixels);
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

inline CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* from,
                                       const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                       const cuuint32_t* steps, CUtensorMapInterleave, CUtensorMapSwizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  bool good = cuda_on_cpu::describe(map, type, rank, from, sizes, strides, steps);
  good = good && box[0] * static_cast<unsigned>(map->bytes) <= 128;
  for (uint32_t i = 0; i < rank; ++i) {
    good = good && box[i] >= 1 && box[i] <= 256;
    map->box[i] = static_cast<int>(box[i]);
  }
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess, cudaDriverEntryPointSymbolNotFound };
enum { cudaEnableDefault };

inline cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, int,
                                                    cudaDriverEntryPointQueryResult* found) {
  const std::string wanted = name;
  *found = cudaDriverEntryPointSuccess;
  if (wanted == "cuTensorMapEncodeIm2col")
    *function = reinterpret_cast<void*>(&cuTensorMapEncodeIm2col);
  else if (wanted == "cuTensorMapEncodeTiled")
    *function = reinterpret_cast<void*>(&cuTensorMapEncodeTiled);
  else
    *found = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
