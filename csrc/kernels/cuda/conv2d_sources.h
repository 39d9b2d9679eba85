// The factors of a convolution's products, as they are copied to shared memory: see tiles.h. K is walked through digit
// by digit, so that nothing is divided but at the start.
//   template n: numbers copied at a time, 16 bytes or one, where channels or addresses allow no more
#pragma once
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/pixels.h"
#include "kernels/cuda/tiles.h"

namespace atrous {

// A number of digits a, b, c, of which b < B and c < C, that grows by a constant.
struct Walk {
  int a, b, c, B, C, da, db, dc;

  __device__ Walk(int64_t start, int step, int64_t B_, int64_t C_)
      : B(B_ > 0 ? static_cast<int>(B_) : 1), C(static_cast<int>(C_)) {  // no taps: not a step is walked
    const int64_t rest = start / C;
    a = static_cast<int>(rest / B);
    b = static_cast<int>(rest % B);
    c = static_cast<int>(start % C);
    da = step / C / B;
    db = step / C % B;
    dc = step % C;
  }

  __device__ void advance() {
    a += da, b += db, c += dc;
    if (c >= C) c -= C, ++b;
    if (b >= B) b -= B, ++a;
  }
};

// What the pixels of N grids see of N images (NHWC), of `channels` out of C.
template <typename T>
struct Scene {
  const T* images;  // at the first of the channels
  int64_t N, C, channels;
  Axis h, w;
  Divisor rows, columns;  // of a grid

  __device__ int64_t depth() const { return int64_t{h.taps} * w.taps * channels; }
};

__device__ inline bool is_inside(int h, int w, int H, int W) {
  return static_cast<unsigned>(h) < static_cast<unsigned>(H) && static_cast<unsigned>(w) < static_cast<unsigned>(W);
}
__device__ inline bool is_inside(int h, int w, const Axis& H, const Axis& W) { return is_inside(h, w, H.size, W.size); }

// How the threads of a block share a step's part of a factor: each has one place along the axis that is fastest in
// memory, and `passes` along the other.
template <int n, int fastest, int other>
struct Share {
  static constexpr int threads = fastest / n, at_once = kTileThreads / threads, passes = other / at_once;
  static_assert(at_once * threads == kTileThreads && passes * at_once == other);

  __device__ static int along() { return static_cast<int>(threadIdx.x) % threads * n; }
  __device__ static int across() { return static_cast<int>(threadIdx.x) / threads; }
};

// Where a thread's copies go in ByIndex.
template <typename T, int n, int extent>
struct RowsOfCopies : Share<n, kDepth<T>, extent> {
  using Base = Share<n, kDepth<T>, extent>;
  using Layout = ByIndex<T, extent>;
  int first = Layout::place(Base::across(), Base::along());

  __device__ int place(int pass) const {
    if constexpr (Base::at_once % 32 == 0) return first + pass * Base::at_once * kDepth<T>;  // the same swizzle
    return Layout::place(Base::across() + pass * Base::at_once, Base::along());
  }
};

// Pixels by taps and channels.
template <typename T, int n, int extent>
class Windows : RowsOfCopies<T, n, extent> {
  using Base = RowsOfCopies<T, n, extent>;

 public:
  using Layout = typename Base::Layout;

  __device__ Windows(const Scene<T>& s, int64_t first_pixel, int64_t pixels)
      : scene_(s), k_(Base::along(), kDepth<T>, s.w.taps, s.channels) {
    for (int i = 0; i < Base::passes; ++i) {
      const int64_t pixel = first_pixel + Base::across() + i * Base::at_once, row = pixel / s.columns;
      const int64_t image = row / s.rows;
      h_[i] = static_cast<int>(row - image * s.rows.value()) * s.h.step + s.h.first;
      w_[i] = static_cast<int>(pixel - row * s.columns.value()) * s.w.step + s.w.first;
      from_[i] = s.images + ((image * s.h.size + h_[i]) * s.w.size + w_[i]) * s.C;
      if (pixel >= pixels) h_[i] = kNowhere;
    }
  }

  __device__ void load(T* tile) {
    const Scene<T>& s = scene_;
    const int h = k_.a * s.h.tap, w = k_.b * s.w.tap;
    const int64_t offset = (int64_t{h} * s.w.size + w) * s.C + k_.c;
    for (int i = 0; i < Base::passes; ++i) {
      const bool exists = k_.a < s.h.taps && is_inside(h_[i] + h, w_[i] + w, s.h, s.w);
      copy_async<n * sizeof(T)>(tile + Base::place(i), from_[i] + offset, exists);
    }
    k_.advance();
  }

 private:
  static constexpr int kNowhere = -(1 << 30);  // outside every image, at any tap
  const Scene<T>& scene_;
  Walk k_;
  int h_[Base::passes], w_[Base::passes];
  const T* from_[Base::passes];
};

// The rows of a matrix.
template <typename T, int n, int extent>
class MatrixRows : RowsOfCopies<T, n, extent> {
  using Base = RowsOfCopies<T, n, extent>;

 public:
  using Layout = typename Base::Layout;

  __device__ MatrixRows(const T* matrix, int64_t first_row, int64_t rows, int64_t depth)
      : from_(matrix + (first_row + Base::across()) * depth + Base::along()),
        rows_(rows - first_row - Base::across()),
        left_(depth - Base::along()),
        depth_(depth) {}

  __device__ void load(T* tile) {
    for (int i = 0; i < Base::passes; ++i)
      copy_async<n * sizeof(T)>(tile + Base::place(i), from_ + i * Base::at_once * depth_,
                                left_ > 0 && i * Base::at_once < rows_);
    from_ += kDepth<T>;
    left_ -= kDepth<T>;
  }

 private:
  const T* from_;
  int64_t rows_, left_, depth_;
};

// The columns of a matrix of `stride` numbers a row, from row `first` up to `end`.
template <typename T, int n, int extent>
class MatrixColumns : Share<n, extent, kDepth<T>> {
  using Base = Share<n, extent, kDepth<T>>;

 public:
  using Layout = ByDepth<T, extent>;

  __device__ MatrixColumns(const T* matrix, int64_t stride, int64_t first, int64_t end, int64_t first_column,
                           int64_t columns)
      : from_(matrix + (first + Base::across()) * stride + first_column + Base::along()),
        left_(first_column + Base::along() < columns ? end - first - Base::across() : 0),
        stride_(stride) {}

  __device__ void load(T* tile) {
    for (int i = 0; i < Base::passes; ++i) {
      const int k = i * Base::at_once;
      copy_async<n * sizeof(T)>(tile + Layout::place(Base::along(), Base::across() + k), from_ + k * stride_,
                                k < left_);
    }
    from_ += kDepth<T> * stride_;
    left_ -= kDepth<T>;
  }

 private:
  const T* from_;
  int64_t left_, stride_;
};

// Pixels by taps and channels, the pixels along K, from `first` up to where the images end.
template <typename T, int n, int extent>
class WindowColumns : Share<n, extent, kDepth<T>> {
  using Base = Share<n, extent, kDepth<T>>;

 public:
  using Layout = ByDepth<T, extent>;

  __device__ WindowColumns(const Scene<T>& s, int64_t first, int64_t first_column)
      : scene_(s), k_(first + Base::across(), Base::at_once, s.rows.value(), s.columns.value()) {
    const Walk tap(first_column + Base::along(), 0, s.w.taps, s.channels);
    h_ = tap.a * s.h.tap + s.h.first;
    w_ = tap.b * s.w.tap + s.w.first;
    channel_ = tap.c;
    images_ = tap.a < s.h.taps ? static_cast<int>(s.N) : 0;
  }

  __device__ void load(T* tile) {
    const Scene<T>& s = scene_;
    for (int i = 0; i < Base::passes; ++i) {
      const int h = k_.b * s.h.step + h_, w = k_.c * s.w.step + w_;
      const int64_t offset = ((int64_t{k_.a} * s.h.size + h) * s.w.size + w) * s.C + channel_;
      copy_async<n * sizeof(T)>(tile + Layout::place(Base::along(), Base::across() + i * Base::at_once),
                                s.images + offset, k_.a < images_ && is_inside(h, w, s.h, s.w));
      k_.advance();
    }
  }

 private:
  const Scene<T>& scene_;
  Walk k_;
  int h_, w_, channel_, images_;
};

// Weights (OCG, KH, KW, ICG) by input channels, with K: some taps and all output channels.
template <typename T, int n, int extent>
class WeightColumns : Share<n, extent, kDepth<T>> {
  using Base = Share<n, extent, kDepth<T>>;

 public:
  using Layout = ByDepth<T, extent>;

  __device__ WeightColumns(const T* weight, const TapsOfAxis& h, const TapsOfAxis& w, int64_t KW, int64_t filter,
                           int64_t outputs, int64_t first_column, int64_t columns)
      : from_(weight + (h.first * KW + w.first) * columns + first_column + Base::along()),
        filter_(filter),
        tap_h_(h.step * KW * columns),
        tap_w_(w.step * columns),
        taps_(first_column + Base::along() < columns ? h.taps : 0),
        k_(Base::across(), Base::at_once, w.taps, outputs) {}

  __device__ void load(T* tile) {
    for (int i = 0; i < Base::passes; ++i) {
      copy_async<n * sizeof(T)>(tile + Layout::place(Base::along(), Base::across() + i * Base::at_once),
                                from_ + k_.a * tap_h_ + k_.b * tap_w_ + k_.c * filter_, k_.a < taps_);
      k_.advance();
    }
  }

 private:
  const T* from_;
  int64_t filter_, tap_h_, tap_w_;
  int taps_;
  Walk k_;
};

}  // namespace atrous
