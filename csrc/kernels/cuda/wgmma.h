// One instruction of Hopper's matrix units, sums += a * b, started by the four warps of a warpgroup together: a is 64 x
// K and b K x n in shared memory, by their descriptors (hopper.h), K = 8 of TF32 numbers, T = float, and 16 of 16-bit
// ones. Of float32 numbers the units cut off what TF32 has not. The sums, 64 x n, lie in registers: lane l of warp w
// holds, of every 8 columns, columns 2 (l % 4) and the next one, of row 16w + l / 4 in sums[0] and [1], of the row 8
// further in sums[2] and [3].
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/half.h"

namespace atrous {

// PTX wants each register by its name, and asm takes literals alone: hence macros, up to the end of this file.
#define ATROUS_NAMES_32                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ATROUS_SUMS_32                                                                                                \
  "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]),            \
      "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]),    \
      "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), \
      "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), \
      "+f"(sums[28]), "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31])
#define ATROUS_NAMES_64                                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ATROUS_SUMS_64                                                                                                \
  "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]),            \
      "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]),    \
      "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), \
      "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), \
      "+f"(sums[28]), "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), \
      "+f"(sums[35]), "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]), \
      "+f"(sums[42]), "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]), "+f"(sums[48]), \
      "+f"(sums[49]), "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]), "+f"(sums[54]), "+f"(sums[55]), \
      "+f"(sums[56]), "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]), "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), \
      "+f"(sums[63])
#define ATROUS_NAMES_96                                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ATROUS_SUMS_96                                                                                                \
  "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]),            \
      "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]),    \
      "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), \
      "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), \
      "+f"(sums[28]), "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), \
      "+f"(sums[35]), "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]), \
      "+f"(sums[42]), "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]), "+f"(sums[48]), \
      "+f"(sums[49]), "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]), "+f"(sums[54]), "+f"(sums[55]), \
      "+f"(sums[56]), "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]), "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), \
      "+f"(sums[63]), "+f"(sums[64]), "+f"(sums[65]), "+f"(sums[66]), "+f"(sums[67]), "+f"(sums[68]), "+f"(sums[69]), \
      "+f"(sums[70]), "+f"(sums[71]), "+f"(sums[72]), "+f"(sums[73]), "+f"(sums[74]), "+f"(sums[75]), "+f"(sums[76]), \
      "+f"(sums[77]), "+f"(sums[78]), "+f"(sums[79]), "+f"(sums[80]), "+f"(sums[81]), "+f"(sums[82]), "+f"(sums[83]), \
      "+f"(sums[84]), "+f"(sums[85]), "+f"(sums[86]), "+f"(sums[87]), "+f"(sums[88]), "+f"(sums[89]), "+f"(sums[90]), \
      "+f"(sums[91]), "+f"(sums[92]), "+f"(sums[93]), "+f"(sums[94]), "+f"(sums[95])
#define ATROUS_NAMES_128                                                                         \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ATROUS_SUMS_128                                                                                               \
  "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]),            \
      "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]),    \
      "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), \
      "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), \
      "+f"(sums[28]), "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), \
      "+f"(sums[35]), "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]), \
      "+f"(sums[42]), "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]), "+f"(sums[48]), \
      "+f"(sums[49]), "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]), "+f"(sums[54]), "+f"(sums[55]), \
      "+f"(sums[56]), "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]), "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), \
      "+f"(sums[63]), "+f"(sums[64]), "+f"(sums[65]), "+f"(sums[66]), "+f"(sums[67]), "+f"(sums[68]), "+f"(sums[69]), \
      "+f"(sums[70]), "+f"(sums[71]), "+f"(sums[72]), "+f"(sums[73]), "+f"(sums[74]), "+f"(sums[75]), "+f"(sums[76]), \
      "+f"(sums[77]), "+f"(sums[78]), "+f"(sums[79]), "+f"(sums[80]), "+f"(sums[81]), "+f"(sums[82]), "+f"(sums[83]), \
      "+f"(sums[84]), "+f"(sums[85]), "+f"(sums[86]), "+f"(sums[87]), "+f"(sums[88]), "+f"(sums[89]), "+f"(sums[90]), \
      "+f"(sums[91]), "+f"(sums[92]), "+f"(sums[93]), "+f"(sums[94]), "+f"(sums[95]), "+f"(sums[96]), "+f"(sums[97]), \
      "+f"(sums[98]), "+f"(sums[99]), "+f"(sums[100]), "+f"(sums[101]), "+f"(sums[102]), "+f"(sums[103]),             \
      "+f"(sums[104]), "+f"(sums[105]), "+f"(sums[106]), "+f"(sums[107]), "+f"(sums[108]), "+f"(sums[109]),           \
      "+f"(sums[110]), "+f"(sums[111]), "+f"(sums[112]), "+f"(sums[113]), "+f"(sums[114]), "+f"(sums[115]),           \
      "+f"(sums[116]), "+f"(sums[117]), "+f"(sums[118]), "+f"(sums[119]), "+f"(sums[120]), "+f"(sums[121]),           \
      "+f"(sums[122]), "+f"(sums[123]), "+f"(sums[124]), "+f"(sums[125]), "+f"(sums[126]), "+f"(sums[127])
#define ATROUS_START "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\nwgmma.mma_async.sync.aligned.m64"

// `a_by_columns`, of 16-bit numbers: the factor lies with a's rows fastest, and not along K; b_by_columns: with b's
// columns.
template <typename T, bool a_by_columns = false, bool b_by_columns = false>
__device__ inline void wgmma(float (&sums)[32], uint64_t a, uint64_t b) {
  if constexpr (std::is_same_v<T, BFloat16>)
    asm volatile(ATROUS_START "n64k16.f32.bf16.bf16 {" ATROUS_NAMES_32 "}, %32, %33, p, 1, 1, %34, %35;\n}"
                 : ATROUS_SUMS_32
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else if constexpr (std::is_same_v<T, Float16>)
    asm volatile(ATROUS_START "n64k16.f32.f16.f16 {" ATROUS_NAMES_32 "}, %32, %33, p, 1, 1, %34, %35;\n}"
                 : ATROUS_SUMS_32
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else
    asm volatile(ATROUS_START "n64k8.f32.tf32.tf32 {" ATROUS_NAMES_32 "}, %32, %33, p, 1, 1;\n}"
                 : ATROUS_SUMS_32
                 : "l"(a), "l"(b));
}

template <typename T, bool a_by_columns = false, bool b_by_columns = false>
__device__ inline void wgmma(float (&sums)[64], uint64_t a, uint64_t b) {
  if constexpr (std::is_same_v<T, BFloat16>)
    asm volatile(ATROUS_START "n128k16.f32.bf16.bf16 {" ATROUS_NAMES_64 "}, %64, %65, p, 1, 1, %66, %67;\n}"
                 : ATROUS_SUMS_64
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else if constexpr (std::is_same_v<T, Float16>)
    asm volatile(ATROUS_START "n128k16.f32.f16.f16 {" ATROUS_NAMES_64 "}, %64, %65, p, 1, 1, %66, %67;\n}"
                 : ATROUS_SUMS_64
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else
    asm volatile(ATROUS_START "n128k8.f32.tf32.tf32 {" ATROUS_NAMES_64 "}, %64, %65, p, 1, 1;\n}"
                 : ATROUS_SUMS_64
                 : "l"(a), "l"(b));
}

template <typename T, bool a_by_columns = false, bool b_by_columns = false>
__device__ inline void wgmma(float (&sums)[96], uint64_t a, uint64_t b) {
  if constexpr (std::is_same_v<T, BFloat16>)
    asm volatile(ATROUS_START "n192k16.f32.bf16.bf16 {" ATROUS_NAMES_96 "}, %96, %97, p, 1, 1, %98, %99;\n}"
                 : ATROUS_SUMS_96
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else
    asm volatile(ATROUS_START "n192k16.f32.f16.f16 {" ATROUS_NAMES_96 "}, %96, %97, p, 1, 1, %98, %99;\n}"
                 : ATROUS_SUMS_96
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
}

template <typename T, bool a_by_columns = false, bool b_by_columns = false>
__device__ inline void wgmma(float (&sums)[128], uint64_t a, uint64_t b) {
  if constexpr (std::is_same_v<T, BFloat16>)
    asm volatile(ATROUS_START "n256k16.f32.bf16.bf16 {" ATROUS_NAMES_128 "}, %128, %129, p, 1, 1, %130, %131;\n}"
                 : ATROUS_SUMS_128
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else if constexpr (std::is_same_v<T, Float16>)
    asm volatile(ATROUS_START "n256k16.f32.f16.f16 {" ATROUS_NAMES_128 "}, %128, %129, p, 1, 1, %130, %131;\n}"
                 : ATROUS_SUMS_128
                 : "l"(a), "l"(b), "n"(a_by_columns ? 1 : 0), "n"(b_by_columns ? 1 : 0));
  else
    asm volatile(ATROUS_START "n256k8.f32.tf32.tf32 {" ATROUS_NAMES_128 "}, %128, %129, p, 1, 1;\n}"
                 : ATROUS_SUMS_128
                 : "l"(a), "l"(b));
}

#undef ATROUS_NAMES_32
#undef ATROUS_SUMS_32
#undef ATROUS_NAMES_64
#undef ATROUS_SUMS_64
#undef ATROUS_NAMES_96
#undef ATROUS_SUMS_96
#undef ATROUS_NAMES_128
#undef ATROUS_SUMS_128
#undef ATROUS_START

}  // namespace atrous
