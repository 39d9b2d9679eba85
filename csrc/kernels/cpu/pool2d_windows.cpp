// Average and adaptive pooling: windows come as a range of rows and a range of columns for each output pixel.
#include "core/memory.h"
#include "kernels/cpu/pool2d_lanes.h"
#include "kernels/pool2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// The sum over a window of W channels, from its corner. K > 0: K x K, known to the compiler.
template <int K, int W, typename T>
inline typename Lanes<T, W>::Vector window_sum(const T* corner, int64_t rows, int64_t columns, int64_t row_step,
                                               int64_t C) {
  using L = Lanes<T, W>;
  typename L::Vector sum{};
  for (int64_t h = 0; h < (K ? K : rows); ++h) {
    typename L::Vector line{};
    for (int64_t w = 0; w < (K ? K : columns); ++w) line += L::load(corner + h * row_step + w * C);
    sum += line;
  }
  return sum;
}

// One output pixel.
template <int K, int W, typename T>
inline void average_pixel(const T* corner, int64_t rows, int64_t columns, int64_t row_step, int64_t C, T divisor,
                          T* y) {
  for_channels<W>(C, [&](int64_t c) {
    Lanes<T, W>::store(y + c, window_sum<K, W>(corner + c, rows, columns, row_step, C) / divisor);
  });
}

// y += the sum of `count` pixels, for channels in whole vectors.
template <int count, int W, typename T>
inline void add_pixels(const T* x, int64_t C, T* y) {
  using L = Lanes<T, W>;
  for (int64_t c = 0; c + W <= C; c += W) {
    typename L::Vector sum = L::load(x + c);
    unrolled<count - 1>([&](auto i) { sum += L::load(x + (decltype(i)::value + 1) * C + c); });
    L::store(y + c, L::load(y + c) + sum);
  }
}

// As average_pixel, for many channels and a large window: all channels of a pixel before the next one, in the order of
// memory. y collects the sums.
template <int W, typename T>
inline void average_large(const T* corner, int64_t rows, int64_t columns, int64_t row_step, int64_t C, T divisor,
                          T* y) {
  using L = Lanes<T, W>;
  for (int64_t c = 0; c + W <= C; c += W) L::store(y + c, typename L::Vector{});
  for (int64_t h = 0; h < rows; ++h) {
    const T* x = corner + h * row_step;
    int64_t w = 0;
    for (; w + 4 <= columns; w += 4) add_pixels<4, W>(x + w * C, C, y);
    for (; w < columns; ++w) add_pixels<1, W>(x + w * C, C, y);
  }
  for (int64_t c = 0; c + W <= C; c += W) L::store(y + c, L::load(y + c) / divisor);
  if (C % W > 0)  // the last channels
    L::store(y + C - W, window_sum<0, W>(corner + C - W, rows, columns, row_step, C) / divisor);
}

template <int W, typename T>
void average_row(const WindowPool2dShape& shape, const PoolWindow rows, bool far, const T* x, T* y) {
  const WindowPool2dShape s = shape;  // in registers: stores may alias the caller's
  const int64_t row_step = s.IW * s.C, KH = rows.end - rows.begin;
  for (int64_t ow = 0; ow < s.OW; ++ow, y += s.C) {
    const PoolWindow columns = s.columns[ow];
    const int64_t KW = columns.end - columns.begin;
    const T divisor = static_cast<T>(rows.divisor * columns.divisor);
    const T* corner = x + rows.begin * row_step + columns.begin * s.C;
    for (int64_t h = 0; far && h < KH; ++h) prefetch_ahead(KW * s.C, corner + h * row_step);
    if (KH == 2 && KW == 2 && runs_on<T, W>(s.C) && ow + 1 < s.OW && columns.end < s.IW)
      average_pixel<2, wide<T, W>>(corner, KH, KW, row_step, s.C, divisor, y);
    else if (KH == 2 && KW == 2)
      average_pixel<2, W>(corner, KH, KW, row_step, s.C, divisor, y);
    else if (KH == 3 && KW == 3)
      average_pixel<3, W>(corner, KH, KW, row_step, s.C, divisor, y);
    else if (s.C >= 4 * W && KH * KW > 9)
      average_large<W>(corner, KH, KW, row_step, s.C, divisor, y);
    else
      average_pixel<0, W>(corner, KH, KW, row_step, s.C, divisor, y);
  }
}

template <typename T>
void average_forward(const WindowPool2dShape& s, const T* x, T* y) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  const int64_t in = s.IH * s.IW * s.C;
  const bool far = exceeds_caches(s.N * (in + s.OH * s.OW * s.C) * static_cast<int64_t>(sizeof(T)));
  with_width<T>(s.C, [&](auto W) {
    for_rows<decltype(W)::value>(s.N * s.OH, in / s.OH, [&](int64_t row) {
      average_row<decltype(W)::value>(s, s.rows[row % s.OH], far, x + row / s.OH * in, y + row * s.OW * s.C);
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

// Gives all pixels of two bands their gradient; W channels at a time for all of them, or where there are many channels,
// all channels of one pixel, which the others copy in the order of memory.
template <int W, typename T>
inline void fill_bands(const WindowPool2dShape& s, const Band& rows, const Band& columns, const T* grad_y, T* grad_x) {
  const bool many = s.C >= 4 * W;
  T* const first = grad_x + (rows.begin * s.IW + columns.begin) * s.C;
  for_channels<W>(s.C, [&](int64_t c) {
    const auto grad = band_sum<W>(s, rows, columns, grad_y + c);
    if (many) return Lanes<T, W>::store(first + c, grad);
    for (int64_t ih = rows.begin; ih < rows.end; ++ih)
      for (int64_t iw = columns.begin; iw < columns.end; ++iw)
        Lanes<T, W>::store(grad_x + (ih * s.IW + iw) * s.C + c, grad);
  });
  for (int64_t ih = rows.begin; many && ih < rows.end; ++ih)
    for (int64_t iw = columns.begin; iw < columns.end; ++iw)
      if (T* pixel = grad_x + (ih * s.IW + iw) * s.C; pixel != first)
        for_channels<W>(s.C, [&](int64_t c) { Lanes<T, W>::store(pixel + c, Lanes<T, W>::load(first + c)); });
}

template <int W, typename T>
void band_row(const WindowPool2dShape& shape, const Band rows, const Bands& all_columns, const T* grad_y, T* grad_x) {
  const WindowPool2dShape s = shape;  // in registers: stores may alias the caller's
  for (int64_t b = 0; b < all_columns.size(); ++b) {
    const Band columns = all_columns[b];
    if (runs_on<T, W>(s.C) && columns.end < s.IW && columns.last < s.OW)
      fill_bands<wide<T, W>>(s, rows, columns, grad_y, grad_x);
    else
      fill_bands<W>(s, rows, columns, grad_y, grad_x);
  }
}

template <typename T>
void average_backward(const WindowPool2dShape& s, const T* grad_y, T* grad_x) {
  const int64_t in = s.IH * s.IW * s.C, out = s.OH * s.OW * s.C;
  if (s.N * in == 0) return;
  const Bands rows(s.rows, s.OH, s.IH), columns(s.columns, s.OW, s.IW);
  with_width<T>(s.C, [&](auto W) {
    for_rows<decltype(W)::value>(s.N * rows.size(), in / rows.size(), [&](int64_t row) {
      const int64_t n = row / rows.size();
      band_row<decltype(W)::value>(s, rows[row % rows.size()], columns, grad_y + n * out, grad_x + n * in);
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
    for_rows<W>(s.N * s.OH, in / s.OH, [&](int64_t row) {
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

template <typename T>
void max_backward(const WindowPool2dShape& s, const T* grad_y, const int64_t* indices, T* grad_x) {
  const int64_t outputs = s.OH * s.OW, pixels = s.IH * s.IW;
  for_images(s.N, s.C, pixels, [&](int64_t n, int64_t first, int64_t last) {
    T* image = grad_x + n * pixels * s.C;
    clear_channels(image, pixels, s.C, first, last);
    for (int64_t o = 0; o < outputs; ++o) {
      const PoolWindow rows = s.rows[o / s.OW], columns = s.columns[o % s.OW];
      const int64_t corner = rows.begin * s.IW + columns.begin, KH = rows.end - rows.begin;
      const auto IW = static_cast<uint32_t>(s.IW), KW = static_cast<uint32_t>(columns.end - columns.begin);
      for (int64_t c = first; c < last; ++c) {
        const int64_t at = (n * outputs + o) * s.C + c;
        const int64_t index = indices[at];  // read once: another Python thread may write meanwhile
        if (index >= corner && index - corner < KH * s.IW && static_cast<uint32_t>(index - corner) % IW < KW)
          image[index * s.C + c] += grad_y[at];
      }
    }
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
