// What Hopper's copy engine is told of a tensor in memory: maps, which the driver encodes. It is asked at run time, so
// that nothing is linked to it.
#pragma once
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "core/check.h"
#include "core/half.h"
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/stream.h"

namespace atrous {

// nullptr where the driver knows no such function.
template <typename F>
F* driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
  return status == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<F*>(function) : nullptr;
}

struct MapEncoders {
  decltype(cuTensorMapEncodeIm2col)* im2col;
  decltype(cuTensorMapEncodeTiled)* tiled;

  static const MapEncoders& get() {
    static const MapEncoders found{driver_function<decltype(cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col"),
                                   driver_function<decltype(cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled")};
    return found;
  }
  bool exist() const { return im2col && tiled; }
};

inline void check_map(CUresult status, const char* of) {
  if (status != CUDA_SUCCESS)
    throw std::runtime_error(std::string("conv2d: the driver cannot describe ") + of + " to the copy engine (error " +
                             std::to_string(static_cast<int>(status)) + ")");
}

// Of the type for float, the engine rounds float32 numbers to TF32 on their way. To nearest: on normal numbers the
// error of a convolution is 3e-4 of its largest value, as with numbers that were rounded before, and 8e-4 as
// CU_..._FLOAT32, where the matrix units cut off the 13 bits.
template <typename T>
constexpr CUtensorMapDataType kMapType = CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
template <>
constexpr CUtensorMapDataType kMapType<BFloat16> = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
template <>
constexpr CUtensorMapDataType kMapType<Float16> = CU_TENSOR_MAP_DATA_TYPE_FLOAT16;

// What a tap of the convolution reads of x: `pixels` places, `depth` channels of each.
template <typename T>
CUtensorMap map_of_pixels(const Conv2dShape& s, const T* x, int pixels, int depth) {
  constexpr int64_t kBytes = sizeof(T);
  const auto whole = [](int64_t value) { return static_cast<cuuint64_t>(value); };
  const Corners h = corners_of(s.IH, s.OH, s.sh, s.ph), w = corners_of(s.IW, s.OW, s.sw, s.pw);
  const cuuint64_t sizes[] = {whole(s.IC), whole(s.IW), whole(s.IH), whole(s.N)};
  const cuuint64_t strides[] = {whole(kBytes * s.IC), whole(kBytes * s.IC * s.IW), whole(kBytes * s.IC * s.IW * s.IH)};
  const int lower[] = {static_cast<int>(w.lower), static_cast<int>(h.lower)};
  const int upper[] = {static_cast<int>(w.upper), static_cast<int>(h.upper)};
  const cuuint32_t steps[] = {1, static_cast<cuuint32_t>(s.sw), static_cast<cuuint32_t>(s.sh), 1};
  CUtensorMap map{};
  check_map(MapEncoders::get().im2col(&map, kMapType<T>, 4, const_cast<T*>(x), sizes, strides, lower, upper,
                                      static_cast<cuuint32_t>(depth), static_cast<cuuint32_t>(pixels), steps,
                                      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            "the input");
  return map;
}

// Boxes of numbers (rows, middle, columns): `count` rows, one of the middle, `depth` columns.
template <typename T>
CUtensorMap map_of_boxes(const T* from, int64_t columns, int64_t middle, int64_t rows, int depth, int count,
                         const char* name) {
  const auto whole = [](auto value) { return static_cast<cuuint64_t>(value); };
  const cuuint64_t sizes[] = {whole(columns), whole(middle), whole(rows)};
  const cuuint64_t strides[] = {whole(sizeof(T) * columns), whole(sizeof(T) * columns * middle)};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(depth), 1, static_cast<cuuint32_t>(count)}, steps[] = {1, 1, 1};
  CUtensorMap map{};
  check_map(MapEncoders::get().tiled(&map, kMapType<T>, 3, const_cast<T*>(from), sizes, strides, box, steps,
                                     CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            name);
  return map;
}

}  // namespace atrous
