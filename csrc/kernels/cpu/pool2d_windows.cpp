// Average and adaptive pooling: windows come as a range of rows and a range of columns for each output pixel.
#include "core/memory.h"
#include "kernels/cpu/pool2d_lanes.h"
#include "kernels/pool2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
void average_forward(const WindowPool2dShape& s, const T* x, T* y) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  const int64_t in = s.IH * s.IW * s.C;
  with_width<T>(s.C, [&](auto width) {
    using L = Lanes<T, decltype(width)::value>;
    for_rows(s.N * s.OH, in / s.OH, [&](int64_t row) {
      const PoolWindow rows = s.rows[row % s.OH];
      const T* image = x + row / s.OH * in;
      T* out = y + row * s.OW * s.C;
      for (int64_t ow = 0; ow < s.OW; ++ow, out += s.C) {
        const PoolWindow columns = s.columns[ow];
        const auto divisor = typename L::Vector{} + static_cast<T>(rows.divisor * columns.divisor);
        for_channels<decltype(width)::value>(s.C, [&](int64_t c) {
          typename L::Vector sum{};
          for (int64_t ih = rows.begin; ih < rows.end; ++ih) {
            typename L::Vector line{};
            for (int64_t iw = columns.begin; iw < columns.end; ++iw)
              line += L::load(image + (ih * s.IW + iw) * s.C + c);
            sum += line;
          }
          L::store(out + c, sum / divisor);
        });
      }
    });
  });
}

// Pixels [begin, end) of one axis that are held by the same windows, [first, last).
struct Band {
  int64_t begin, end;
  int64_t first, last;
  int64_t divisor;  // that all of these windows share, or 0
};

class Bands {
 public:
  Bands(const PoolWindow* windows, int64_t O, int64_t I) : bands_(I), size_(0) {
    int64_t first = 0, last = 0;
    for (int64_t i = 0; i < I; ++i) {
      const bool leaves = first < O && windows[first].end <= i, enters = last < O && windows[last].begin <= i;
      while (first < O && windows[first].end <= i) ++first;
      while (last < O && windows[last].begin <= i) ++last;
      if (i == 0 || leaves || enters)
        bands_.data()[size_++] = {i, i, first, last, shared_divisor(windows, first, last)};
      bands_.data()[size_ - 1].end = i + 1;
    }
  }

  int64_t size() const { return size_; }
  const Band& operator[](int64_t i) const { return bands_.data()[i]; }

 private:
  static int64_t shared_divisor(const PoolWindow* windows, int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o)
      if (windows[o].divisor != windows[first].divisor) return 0;
    return first < last ? windows[first].divisor : 1;
  }

  Workspace<Band> bands_;
  int64_t size_;
};

// The gradient that the pixels of two bands share, for W channels from grad_y.
template <int W, typename T>
inline typename Lanes<T, W>::Vector band_sum(const WindowPool2dShape& s, const Band& rows, const Band& columns,
                                             const T* grad_y) {
  using L = Lanes<T, W>;
  typename L::Vector sum{};
  const T divisor = static_cast<T>(rows.divisor * columns.divisor);
  if (divisor != 0) {
    for (int64_t oh = rows.first; oh < rows.last; ++oh)
      for (int64_t ow = columns.first; ow < columns.last; ++ow) sum += L::load(grad_y + (oh * s.OW + ow) * s.C);
    return sum / (typename L::Vector{} + divisor);
  }
  for (int64_t oh = rows.first; oh < rows.last; ++oh)
    for (int64_t ow = columns.first; ow < columns.last; ++ow)
      sum += L::load(grad_y + (oh * s.OW + ow) * s.C) / static_cast<T>(s.rows[oh].divisor * s.columns[ow].divisor);
  return sum;
}

template <typename T>
void average_backward(const WindowPool2dShape& s, const T* grad_y, T* grad_x) {
  if (s.N * s.C * s.IH * s.IW == 0) return;
  const Bands rows(s.rows, s.OH, s.IH), columns(s.columns, s.OW, s.IW);
  with_width<T>(s.C, [&](auto width) {
    using L = Lanes<T, decltype(width)::value>;
    for_rows(s.N * rows.size(), divide_up(s.IH * s.IW * s.C, rows.size()), [&](int64_t row) {
      const int64_t n = row / rows.size();
      const Band band = rows[row % rows.size()];
      for (int64_t b = 0; b < columns.size(); ++b) {
        const Band column = columns[b];
        for_channels<decltype(width)::value>(s.C, [&](int64_t c) {
          const auto grad = band_sum<decltype(width)::value>(s, band, column, grad_y + n * s.OH * s.OW * s.C + c);
          for (int64_t ih = band.begin; ih < band.end; ++ih)
            for (int64_t iw = column.begin; iw < column.end; ++iw)
              L::store(grad_x + ((n * s.IH + ih) * s.IW + iw) * s.C + c, grad);
        });
      }
    });
  });
}

template <typename T>
void max_forward(const WindowPool2dShape& s, const T* x, T* y, int64_t* indices) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  const int64_t in = s.IH * s.IW * s.C;
  with_width<T>(s.C, [&](auto width) {
    constexpr int W = decltype(width)::value;
    using L = Lanes<T, W>;
    for_rows(s.N * s.OH, in / s.OH, [&](int64_t row) {
      const PoolWindow rows = s.rows[row % s.OH];
      const T* image = x + row / s.OH * in;
      for (int64_t ow = 0; ow < s.OW; ++ow) {
        const PoolWindow columns = s.columns[ow];
        const int64_t out = (row * s.OW + ow) * s.C, start = rows.begin * s.IW + columns.begin;
        for_channels<W>(s.C, [&](int64_t c) {
          Largest<T, W> largest{L::load(image + start * s.C + c),
                                typename L::Integers{} + static_cast<typename L::Element>(start)};
          for (int64_t ih = rows.begin; ih < rows.end; ++ih)
            for (int64_t iw = columns.begin; iw < columns.end; ++iw)
              largest.see(L::load(image + (ih * s.IW + iw) * s.C + c), ih * s.IW + iw);
          L::store(y + out + c, largest.value);
          for (int lane = 0; lane < W; ++lane) indices[out + c + lane] = largest.position[lane];
        });
      }
    });
  });
}

// Windows may overlap and an index may lie anywhere in its image, so one piece is one image.
template <typename T>
void max_backward(const WindowPool2dShape& s, const T* grad_y, const int64_t* indices, T* grad_x) {
  const int64_t in = s.IH * s.IW * s.C, outputs = s.OH * s.OW;
  for_rows(s.N, in + outputs * s.C, [&](int64_t n) {
    T* image = grad_x + n * in;
    for (int64_t i = 0; i < in; ++i) image[i] = 0;
    for (int64_t o = n * outputs * s.C; o < (n + 1) * outputs * s.C; o += s.C)
      for (int64_t c = 0; c < s.C; ++c) image[indices[o + c] * s.C + c] += grad_y[o + c];
  });
}

template <typename T>
WindowPool2dKernels<T> table() {
  return {average_forward<T>, average_backward<T>, max_forward<T>, max_backward<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
WindowPool2dKernels<float> window_pool2d_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
WindowPool2dKernels<double> window_pool2d_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}

}  // namespace atrous
