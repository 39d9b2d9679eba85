// What pooling and resizing share: a thread for some channels of a pixel of an NHWC tensor.
#pragma once
#include <cmath>
#include <type_traits>

#include "kernels/cuda/half.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {

// A divisor that many threads share. Dividends below 2^32 are multiplied instead (Granlund and Montgomery, "Division by
// invariant integers using multiplication", PLDI 1994, figure 4.1): a division takes longer than 16 bytes of memory do.
class Divisor {
 public:
  Divisor(int64_t d) : divisor_(d) {  // d > 0
    int bits = 0;
    while (bits < 32 && (int64_t{1} << bits) < d) ++bits;
    if (bits > 31) return;
    end_ = int64_t{1} << 32;
    multiplier_ = static_cast<uint32_t>(((((int64_t{1} << bits) - d) << 32) / d) + 1);
    shift_ = bits < 1 ? 0 : 1;
    last_shift_ = bits - shift_;
  }

  // dividend >= 0
  __device__ friend int64_t operator/(int64_t dividend, const Divisor& d) {
    if (dividend >= d.end_) return dividend / d.divisor_;
    const auto a = static_cast<uint32_t>(dividend);
    const uint32_t high = __umulhi(a, d.multiplier_);
    return (high + ((a - high) >> d.shift_)) >> d.last_shift_;
  }
  __device__ int64_t value() const { return divisor_; }

 private:
  int64_t divisor_, end_ = 0;  // of the dividends that may be multiplied
  uint32_t multiplier_ = 0;
  int shift_ = 0, last_shift_ = 0;
};

// The first of some channels of a pixel. `at` is its address.
struct Place {
  int64_t n, h, w, c, at;
};

template <int n, typename Job>
__global__ void pixels_kernel(int64_t threads, Divisor H, Divisor W, Divisor packs, Job job) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < threads; i += step) {
    const int64_t pixel = i / packs, row = pixel / W, image = row / H;
    job(Place{image, row - image * H.value(), pixel - row * W.value(), (i - pixel * packs.value()) * n, i * n});
  }
}

// Calls job(place) for each n channels of each pixel, neighbouring channels in neighbouring threads. n divides C.
template <int n, typename Job>
void for_pixels(int64_t N, int64_t H, int64_t W, int64_t C, const Job& job) {
  const int64_t threads = N * (C / n) * H * W;
  if (threads > 0) launch(pixels_kernel<n, Job>, blocks_for(threads), kThreads, threads, H, W, C / n, job);
}

template <int n, typename... Pointers>
inline bool may_be_packed(int64_t C, const Pointers*... pointers) {
  return C % n == 0 && ((reinterpret_cast<uintptr_t>(pointers) % (n * sizeof(Pointers)) == 0) && ...);
}

// Calls f(integral_constant<int, n>): 16 bytes of T where the channels and all addresses allow it, else one element.
template <typename T, typename F, typename... Pointers>
void with_packs(F f, int64_t C, const Pointers*... pointers) {
  constexpr int n = 16 / sizeof(T);
  if (may_be_packed<n>(C, pointers...))
    f(std::integral_constant<int, n>{});
  else
    f(std::integral_constant<int, 1>{});
}

// The largest value so far of each of n channels, and its position: the first of equals, the first NaN.
template <int n, typename T>
struct Largest {
  Pack<Compute<T>, n> value;
  Pack<int32_t, n> position;

  __device__ explicit Largest(int64_t first) {
    for (int i = 0; i < n; ++i) {
      value.v[i] = -static_cast<Compute<T>>(INFINITY);
      position.v[i] = static_cast<int32_t>(first);
    }
  }

  __device__ void see(const Pack<T, n>& stored, int64_t at) {
    const auto x = to_compute(stored);
    for (int i = 0; i < n; ++i) {
      const bool keep = x.v[i] <= value.v[i] || value.v[i] != value.v[i];
      value.v[i] = keep ? value.v[i] : x.v[i];
      position.v[i] = keep ? position.v[i] : static_cast<int32_t>(at);
    }
  }

  template <typename Integer>
  __device__ void store(T* y, Integer* positions) const {
    Pack<Integer, n> narrow;
    for (int i = 0; i < n; ++i) narrow.v[i] = static_cast<Integer>(position.v[i]);
    store_pack(y, round_to<T>(value));  // exact: it is one of them
    store_pack(positions, narrow);
  }
};

}  // namespace atrous
