// Vectors of the level that a translation unit is compiled for, on GCC's and Clang's vector extensions.
// Included by per-level units only. All of it has internal linkage: a shared inline function could leak AVX-512 code
// into the path that an older CPU runs.
#pragma once
#include <cstdint>

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
struct Vec {
  typedef T type __attribute__((vector_size(ATROUS_VECTOR_BYTES)));
  typedef T unaligned __attribute__((vector_size(ATROUS_VECTOR_BYTES), aligned(alignof(T)), may_alias));
  static constexpr int width = ATROUS_VECTOR_BYTES / sizeof(T);
};

template <typename T>
inline typename Vec<T>::type load(const T* p) {
  return *reinterpret_cast<const typename Vec<T>::unaligned*>(p);
}

template <typename T>
inline void store(T* p, typename Vec<T>::type v) {
  *reinterpret_cast<typename Vec<T>::unaligned*>(p) = v;
}

// A store that bypasses the caches, for an output that is larger than they are; p is aligned to a vector. It saves
// reading the memory that is overwritten. After the last one comes finish_past_caches().
template <typename T>
inline void store_past_caches(T* p, typename Vec<T>::type v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<typename Vec<T>::type*>(p));
#elif defined(__x86_64__) && ATROUS_VECTOR_BYTES == 64
  __builtin_ia32_movntps512(reinterpret_cast<float*>(p), (Vec<float>::type)v);
#elif defined(__x86_64__) && ATROUS_VECTOR_BYTES == 32
  __builtin_ia32_movntps256(reinterpret_cast<float*>(p), (Vec<float>::type)v);
#elif defined(__x86_64__)
  __builtin_ia32_movntps(reinterpret_cast<float*>(p), (Vec<float>::type)v);
#else
  store(p, v);
#endif
}

inline void finish_past_caches() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

// The first n < width elements, zero in the other lanes.
template <typename T>
inline typename Vec<T>::type load_first(const T* p, int64_t n) {
  T lanes[Vec<T>::width] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}

template <typename T>
inline void store_first(T* p, int64_t n, typename Vec<T>::type v) {
  T lanes[Vec<T>::width];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

template <typename T>
inline typename Vec<T>::type broadcast(T x) {
  return x - typename Vec<T>::type{};  // x - 0 keeps the sign of -0, x + 0 would not
}

inline int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
