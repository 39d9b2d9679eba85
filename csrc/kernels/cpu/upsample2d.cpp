// Bilinear and nearest resizing, forward and backward: weighted sums of rows, then of the pixels of the row that
// results.
#include "kernels/upsample2d.h"

#include "core/memory.h"
#include "kernels/cpu/pool2d_lanes.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Calls f(j) for vectors of W <= L elements; the last may overlap the one before: f reads no output.
template <int W, typename F>
inline void for_vectors(int64_t L, F&& f) {
  int64_t j = 0;
  for (; j + W <= L; j += W) f(j);
  if (j < L) f(L - W);
}

// y[j] = sum_k weight_k * x[source_k * stride + j] for j < L, by vectors of W <= L elements. K taps, known to the
// compiler.
template <int K, int W, typename T>
inline void sum_known(const Tap<T>* taps, const T* x, int64_t stride, int64_t L, T* y) {
  using V = Lanes<T, W>;
  const T* sources[K];
  T weights[K];  // copies: a store to y might change the taps, as far as the compiler knows
  unrolled<K>([&](auto k) {
    sources[k] = x + taps[k].source * stride;
    weights[k] = taps[k].weight;
  });
  for_vectors<W>(L, [&](int64_t j) {
    typename V::Vector sum = weights[0] * V::load(sources[0] + j);
    unrolled<K - 1>([&](auto k) { sum += weights[k + 1] * V::load(sources[k + 1] + j); });
    V::store(y + j, sum);
  });
}

// The same for any number of taps, M vectors at a time.
template <int M, int W, typename T>
inline void sum_many(const Tap<T>* taps, int64_t count, const T* x, int64_t stride, int64_t L, T* y) {
  using V = Lanes<T, W>;
  for_vectors<M * W>(L, [&](int64_t j) {
    typename V::Vector sum[M];
    unrolled<M>([&](auto m) { sum[m] = taps[0].weight * V::load(x + taps[0].source * stride + j + m * W); });
    for (int64_t k = 1; k < count; ++k) {
      const T* source = x + taps[k].source * stride + j;
      unrolled<M>([&](auto m) { sum[m] += taps[k].weight * V::load(source + m * W); });
    }
    unrolled<M>([&](auto m) { V::store(y + j + m * W, sum[m]); });
  });
}

template <int W, typename T>
inline void sum_taps(const Tap<T>* taps, int64_t count, const T* x, int64_t stride, int64_t L, T* y) {
  if (count == 1)
    sum_known<1, W>(taps, x, stride, L, y);
  else if (count == 2)
    sum_known<2, W>(taps, x, stride, L, y);
  else if (count == 4)
    sum_known<4, W>(taps, x, stride, L, y);
  else if (count == 0)
    __builtin_memset(y, 0, static_cast<size_t>(L) * sizeof(T));
  else if (L >= 4 * W)
    sum_many<4, W>(taps, count, x, stride, L, y);
  else
    sum_many<1, W>(taps, count, x, stride, L, y);
}

// The sum of some rows of an image, `row` elements long, made a few KB ahead of what is asked for: while it is read, it
// is in the first cache. One row as it stands is read where it is.
template <typename T>
class Line {
 public:
  Line(const Tap<T>* taps, int64_t count, const T* image, int64_t row, T* memory)
      : taps_(taps), count_(count), image_(image), row_(row), memory_(memory), line_(memory) {
    if (count == 1 && taps->weight == 1) {
      line_ = image + taps->source * row;
      ready_ = row;
    }
  }

  // The line, of which the first n elements can be read.
  const T* first(int64_t n) {
    if (n > ready_) extend(n);
    return line_;
  }

 private:
  void extend(int64_t n) {
    constexpr int64_t kAhead = 4096 / sizeof(T);
    const int64_t end = min_of(row_, max_of(n, ready_ + kAhead)), L = end - ready_;
    with_width<T>(
        L, [&](auto W) { sum_taps<decltype(W)::value>(taps_, count_, image_ + ready_, row_, L, memory_ + ready_); });
    ready_ = end;
  }

  const Tap<T>* taps_;
  int64_t count_;
  const T* image_;
  int64_t row_;
  T* memory_;
  const T* line_;
  int64_t ready_ = 0;
};

template <int W, typename T>
void sum_columns(const Taps<T>& columns, Line<T> line, int64_t C, T* y) {
  const Tap<T>* taps = columns.taps;
  for (int64_t o = 0; o < columns.outputs; ++o, y += C) {
    const int64_t count = columns.starts[o + 1] - columns.starts[o];
    const int64_t needed = count ? taps[count - 1].source + 1 : 0;  // sources never decrease
    sum_taps<W>(taps, count, line.first(needed * C), C, C, y);
    taps += count;
  }
}

template <typename T>
void resample(const Upsample2dShape<T>& shape, const T* x, T* y) {
  constexpr int64_t kPiece = 1 << 14, kWorthThreads = 1 << 16;  // elements
  const Upsample2dShape<T> s = shape;
  const int64_t OH = s.rows.outputs, in_row = s.IW * s.C, out_row = s.columns.outputs * s.C, rows = s.N * OH;
  if (rows * out_row == 0) return;
  const int64_t work = in_row + out_row;  // of a row
  const int64_t per_piece = rows < kWorthThreads / work ? rows : max_of(1, kPiece / work);
  const int64_t stride = divide_up(in_row, 64) * 64;  // no two workers write to one cache line
  const int threads = num_threads();
  const Workspace<T> lines(threads * stride);
  with_width<T>(s.C, [&](auto W) {
    const auto do_row = [&](int64_t row, T* memory) {
      const int64_t n = row / OH, start = s.rows.starts[row % OH], end = s.rows.starts[row % OH + 1];
      const Line<T> line(s.rows.taps + start, end - start, x + n * s.IH * in_row, in_row, memory);
      sum_columns<decltype(W)::value>(s.columns, line, s.C, y + row * out_row);
    };
    const auto do_piece = [&](int64_t piece, int worker) {
      const int64_t last = min_of(rows, (piece + 1) * per_piece);
      for (int64_t row = piece * per_piece; row < last; ++row) do_row(row, lines.data() + worker * stride);
    };
    parallel_for(divide_up(rows, per_piece), do_piece, threads);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
Upsample2dKernels<float> upsample2d_kernels<Level::ATROUS_LEVEL, float>() {
  return {ATROUS_LEVEL::resample<float>};
}
template <>
Upsample2dKernels<double> upsample2d_kernels<Level::ATROUS_LEVEL, double>() {
  return {ATROUS_LEVEL::resample<double>};
}

}  // namespace atrous
