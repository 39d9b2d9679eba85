// Numbers of 16 bits reach the tiles 16 bytes at a time, and no other way. So where channels or addresses do not allow
// that, the factors are copied first, each group's channels followed by zeros up to a multiple of eight.
#pragma once
#include <memory>

#include "core/memory.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/pixels.h"  // Divisor

namespace atrous {
namespace {

// Matrices (count, rows, columns).
struct Matrices {
  int64_t count, rows, columns;
  int64_t elements() const { return count * rows * columns; }
};

// to[m, row, column] = from[m, row, column] where from has that, else 0, n columns at a time. Both have as many
// matrices.
template <typename T, int n>
__global__ void resize_kernel(Matrices shape, const T* from, int64_t packs, Divisor rows, Divisor of_row, T* to) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < packs; i += step) {
    const int64_t rest = i / of_row, column = (i - rest * of_row.value()) * n;
    const int64_t m = rest / rows, row = rest - m * rows.value();
    const T* const from_row = from + (m * shape.rows + row) * shape.columns;
    Pack<T, n> pack{};
    if (row < shape.rows)
#pragma unroll
      for (int e = 0; e < n; ++e)
        if (column + e < shape.columns) pack.v[e] = from_row[column + e];
    store_pack(to + i * n, pack);
  }
}

template <typename T>
void resize(const Matrices& shape, const T* from, const Matrices& new_shape, T* to) {
  constexpr int n = 16 / sizeof(T);
  const auto run = [&](auto pack) {
    const int64_t packs = new_shape.elements() / pack.size;
    launch(resize_kernel<T, decltype(pack)::size>, blocks_for(packs), kThreads, shape, from, packs, new_shape.rows,
           new_shape.columns / pack.size, to);
  };
  if (new_shape.columns % n == 0 && are_aligned(to))
    run(Pack<T, n>{});
  else
    run(Pack<T, 1>{});
}

// The numbers themselves where they have the new shape and an aligned address, else a copy.
template <typename T>
class Padded {
 public:
  Padded(const T* from, const Matrices& shape, const Matrices& new_shape) : data_(from) {
    if (shape.rows == new_shape.rows && shape.columns == new_shape.columns && are_aligned(from)) return;
    copy_ = std::make_unique<Workspace<T>>(new_shape.elements());
    data_ = copy_->data();
    resize(shape, from, new_shape, copy_->data());
  }
  const T* data() const { return data_; }

 private:
  std::unique_ptr<Workspace<T>> copy_;
  const T* data_;
};

// Where a result of the new shape is written: where it belongs, or a workspace whose part is then brought there.
template <typename T>
class Narrowed {
 public:
  Narrowed(T* to, const Matrices& shape, const Matrices& wide) : to_(to), shape_(shape), wide_(wide) {
    if (shape.rows != wide.rows || shape.columns != wide.columns)
      copy_ = std::make_unique<Workspace<T>>(wide.elements());
  }
  T* data() const { return copy_ ? copy_->data() : to_; }
  void finish() const {
    if (copy_) resize(wide_, copy_->data(), shape_, to_);
  }

 private:
  T* to_;
  Matrices shape_, wide_;
  std::unique_ptr<Workspace<T>> copy_;
};

inline int64_t multiple_of_8(int64_t channels) { return (channels + 7) / 8 * 8; }

// With so many channels in each group.
inline Conv2dShape with_channels(Conv2dShape s, int64_t ICG, int64_t OCG) {
  s.IC = s.G * ICG;
  s.OC = s.G * OCG;
  return s;
}

inline Matrices x_of(const Conv2dShape& s) { return {s.N * s.IH * s.IW * s.G, 1, s.IC / s.G}; }
inline Matrices y_of(const Conv2dShape& s) { return {s.N * s.OH * s.OW * s.G, 1, s.OC / s.G}; }
inline Matrices weight_of(const Conv2dShape& s) { return {s.G, s.OC / s.G * s.KH * s.KW, s.IC / s.G}; }

}  // namespace
}  // namespace atrous
