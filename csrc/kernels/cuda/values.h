// Small jobs beside the kernels that have to read device memory.
#pragma once
#include <cstdint>

namespace atrous {

void widen(int64_t n, const float* values, double* wide);

// Values in 16 bits, rounded to the nearest, ties to even.
template <typename T>
void narrow(int64_t n, const float* values, T* halves);

// n times a[0] / total, in float64; NaN where the total is 0. It is in device memory, or nullptr and `number`.
template <typename T>
void quotient(int64_t n, const T* a, const T* total, double number, T* y);

// found[0] becomes 1 where a value is neither in [0, end) nor `except`, and found[1] the first such; else 0. found is
// device memory.
template <typename Int>
void find_outside(int64_t n, const Int* values, int64_t end, int64_t except, int64_t* found);

}  // namespace atrous
