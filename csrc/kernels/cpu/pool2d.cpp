// Max pooling, forward and backward. pool2d_windows.cpp has average and adaptive pooling.
#include "kernels/pool2d.h"

#include "core/memory.h"
#include "kernels/cpu/pool2d_lanes.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// The taps [first, last) of one output coordinate that fall inside the image, and where the first one falls.
struct TapsInside {
  int64_t first, last, start;
  int64_t count() const { return last - first; }
};

inline TapsInside taps_inside(int64_t o, int64_t stride, int64_t padding, int64_t dilation, int64_t K, int64_t I) {
  const int64_t start = o * stride - padding;
  if (start >= 0 && start + (K - 1) * dilation < I) return {0, K, start};
  const int64_t first = start < 0 ? divide_up(-start, dilation) : 0;
  const int64_t last = start < I ? min_of(K, divide_up(I - start, dilation)) : 0;
  return {first, max_of(first, last), start + first * dilation};
}

// One output pixel. K > 0: a whole K x K window, known to the compiler.
template <int K, int W, typename T, typename Tap>
inline void max_pixel(const MaxPool2dShape& s, const TapsInside& rows, const TapsInside& columns, const T* x, T* y,
                      Tap* taps) {
  using L = Lanes<T, W>;
  const int64_t KH = K ? K : rows.count(), KW = K ? K : columns.count(), all_KW = K ? K : s.KW;
  const int64_t row_step = s.dh * s.IW * s.C, column_step = s.dw * s.C;
  const int64_t first_tap = K ? 0 : rows.first * s.KW + columns.first;
  x += (rows.start * s.IW + columns.start) * s.C;
  for_channels<W>(s.C, [&](int64_t c) {
    Largest<T, W> largest{L::load(x + c), typename L::Integers{} + static_cast<typename L::Element>(first_tap)};
    for (int64_t kh = 0; kh < KH; ++kh)
      for (int64_t kw = kh == 0; kw < KW; ++kw)
        largest.see(L::load(x + c + kh * row_step + kw * column_step), first_tap + kh * all_KW + kw);
    L::store(y + c, largest.value);
    L::store_integers(taps + c, largest.position);
  });
}

template <typename T, typename Tap>
inline void nothing_inside(int64_t C, T* y, Tap* taps) {
  for (int64_t c = 0; c < C; ++c) {
    y[c] = -static_cast<T>(__builtin_inf());
    taps[c] = 0;
  }
}

template <int K, int W, typename T, typename Tap>
void max_row(const MaxPool2dShape& s, int64_t oh, const T* x, T* y, Tap* taps) {
  const TapsInside rows = taps_inside(oh, s.sh, s.ph, s.dh, s.KH, s.IH);
  for (int64_t ow = 0; ow < s.OW; ++ow, y += s.C, taps += s.C) {
    const TapsInside columns = taps_inside(ow, s.sw, s.pw, s.dw, s.KW, s.IW);
    if (K > 0 && rows.count() == K && columns.count() == K)
      max_pixel<K, W>(s, rows, columns, x, y, taps);
    else if (rows.count() > 0 && columns.count() > 0)
      max_pixel<0, W>(s, rows, columns, x, y, taps);
    else
      nothing_inside(s.C, y, taps);
  }
}

template <int K, typename T, typename Tap>
void forward_rows(const MaxPool2dShape& s, const T* x, T* y, Tap* taps) {
  const int64_t in = s.IH * s.IW * s.C, out = s.OW * s.C;
  with_width<T>(s.C, [&](auto W) {
    for_rows(s.N * s.OH, in / s.OH, [&](int64_t row) {
      max_row<K, decltype(W)::value>(s, row % s.OH, x + row / s.OH * in, y + row * out, taps + row * out);
    });
  });
}

template <typename T, typename Tap>
void forward(const MaxPool2dShape& s, const T* x, T* y, Tap* taps) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  if (s.KH == 2 && s.KW == 2) return forward_rows<2>(s, x, y, taps);
  if (s.KH == 3 && s.KW == 3) return forward_rows<3>(s, x, y, taps);
  forward_rows<0>(s, x, y, taps);
}

// For each coordinate i of one axis of the input, the taps that reach it: entries [start[i], start[i + 1]), in the
// order of their output coordinates.
class Reached {
 public:
  struct Entry {
    int64_t o, k;
  };

  Reached(int64_t I, int64_t O, int64_t K, int64_t stride, int64_t padding, int64_t dilation)
      : start_(I + 2), entries_(max_of(1, O * K)) {
    int64_t* end = start_.data() + 1;  // end[i] runs up to the end of i's entries while they are filled in
    for (int64_t i = -1; i <= I; ++i) end[i] = 0;
    const auto for_taps = [&](auto&& f) {
      for (int64_t o = 0; o < O; ++o) {
        const TapsInside inside = taps_inside(o, stride, padding, dilation, K, I);
        for (int64_t k = inside.first, i = inside.start; k < inside.last; ++k, i += dilation) f(o, k, i);
      }
    };
    for_taps([&](int64_t, int64_t, int64_t i) { ++end[i + 1]; });
    for (int64_t i = 0; i < I; ++i) end[i + 1] += end[i];
    for_taps([&](int64_t o, int64_t k, int64_t i) { entries_.data()[end[i]++] = {o, k}; });
  }

  const Entry* begin(int64_t i) const { return entries_.data() + start_.data()[i]; }
  const Entry* end(int64_t i) const { return begin(i + 1); }

 private:
  Workspace<int64_t> start_;
  Workspace<Entry> entries_;
};

// One input pixel, any window.
template <int W, typename T, typename Tap>
inline void gather_pixel(const MaxPool2dShape& s, const Reached& rows, const Reached& columns, int64_t ih, int64_t iw,
                         const T* grad_y, const Tap* taps, T* grad_x) {
  using L = Lanes<T, W>;
  for_channels<W>(s.C, [&](int64_t c) {
    typename L::Vector sum{};
    for (const auto* row = rows.begin(ih); row != rows.end(ih); ++row)
      for (const auto* column = columns.begin(iw); column != columns.end(iw); ++column) {
        const int64_t at = (row->o * s.OW + column->o) * s.C + c;
        const auto tap = static_cast<typename L::Element>(row->k * s.KW + column->k);
        sum = L::load_integers(taps + at) == tap ? sum + L::load(grad_y + at) : sum;
      }
    L::store(grad_x + (ih * s.IW + iw) * s.C + c, sum);
  });
}

// The S x S input pixels with (i + padding) / S == (bh, bw), for a dense K x K window of stride S: they are reached by
// the J x J outputs up to (bh, bw) only, each of which is loaded once.
template <int K, int S, int W, typename T, typename Tap>
inline void gather_block(const MaxPool2dShape& s, int64_t bh, int64_t bw, const T* grad_y, const Tap* taps, T* grad_x) {
  using L = Lanes<T, W>;
  constexpr int J = (K + S - 1) / S;
  grad_x += ((bh * S - s.ph) * s.IW + bw * S - s.pw) * s.C;
  for_channels<W>(s.C, [&](int64_t c) {
    typename L::Vector sum[S][S]{};
    for (int jh = J - 1; jh >= 0; --jh)
      for (int jw = J - 1; jw >= 0; --jw) {
        const int64_t at = ((bh - jh) * s.OW + bw - jw) * s.C + c;
        const auto grad = L::load(grad_y + at);
        const auto tap = L::load_integers(taps + at);
        for (int rh = 0; rh < S && rh + jh * S < K; ++rh)
          for (int rw = 0; rw < S && rw + jw * S < K; ++rw)
            sum[rh][rw] = tap == (rh + jh * S) * K + rw + jw * S ? sum[rh][rw] + grad : sum[rh][rw];
      }
    for (int rh = 0; rh < S; ++rh)
      for (int rw = 0; rw < S; ++rw) L::store(grad_x + (rh * s.IW + rw) * s.C + c, sum[rh][rw]);
  });
}

// Rows of blocks; a block that overhangs the image or whose outputs overhang y goes pixel by pixel. K = 0: all do.
template <int K, int S, typename T, typename Tap>
void backward_blocks(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  constexpr int64_t J = K ? (K + S - 1) / S : 0;
  const Reached rows(s.IH, s.OH, s.KH, s.sh, s.ph, s.dh), columns(s.IW, s.OW, s.KW, s.sw, s.pw, s.dw);
  const int64_t ph = K ? s.ph : 0, pw = K ? s.pw : 0;
  const int64_t first = ph / S, blocks = divide_up(s.IH + ph, S) - first, in = s.IH * s.IW * s.C;
  const auto whole = [&](int64_t b, int64_t padding, int64_t I, int64_t O) {
    return K > 0 && b * S >= padding && (b + 1) * S - padding <= I && b - J + 1 >= 0 && b < O;
  };
  with_width<T>(s.C, [&](auto width) {
    constexpr int W = decltype(width)::value;
    for_rows(s.N * blocks, S * s.IW * s.C, [&](int64_t row) {
      const int64_t n = row / blocks, bh = first + row % blocks, out = n * s.OH * s.OW * s.C;
      const bool whole_row = whole(bh, ph, s.IH, s.OH);
      for (int64_t bw = pw / S; bw * S < s.IW + pw; ++bw) {
        if constexpr (K > 0) {
          if (whole_row && whole(bw, pw, s.IW, s.OW)) {
            gather_block<K, S, W>(s, bh, bw, grad_y + out, taps + out, grad_x + n * in);
            continue;
          }
        }
        for (int64_t ih = max_of(0, bh * S - ph); ih < min_of(s.IH, (bh + 1) * S - ph); ++ih)
          for (int64_t iw = max_of(0, bw * S - pw); iw < min_of(s.IW, (bw + 1) * S - pw); ++iw)
            gather_pixel<W>(s, rows, columns, ih, iw, grad_y + out, taps + out, grad_x + n * in);
      }
    });
  });
}

template <typename T, typename Tap>
void backward(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  if (s.N * s.C * s.IH * s.IW == 0) return;
  const bool dense = s.dh == 1 && s.dw == 1, stride_2 = s.sh == 2 && s.sw == 2;
  if (dense && stride_2 && s.KH == 2 && s.KW == 2) return backward_blocks<2, 2>(s, grad_y, taps, grad_x);
  if (dense && stride_2 && s.KH == 3 && s.KW == 3) return backward_blocks<3, 2>(s, grad_y, taps, grad_x);
  backward_blocks<0, 1>(s, grad_y, taps, grad_x);
}

template <typename Tap>
void indices(const MaxPool2dShape& s, const Tap* taps, int64_t* indices) {
  const Workspace<int64_t> offsets(s.KH * s.KW);
  for (int64_t kh = 0; kh < s.KH; ++kh)
    for (int64_t kw = 0; kw < s.KW; ++kw) offsets.data()[kh * s.KW + kw] = kh * s.dh * s.IW + kw * s.dw;
  for_rows(s.N * s.OH, s.OW * s.C, [&](int64_t row) {
    for (int64_t ow = 0; ow < s.OW; ++ow) {
      const int64_t corner = (row % s.OH * s.sh - s.ph) * s.IW + ow * s.sw - s.pw, at = (row * s.OW + ow) * s.C;
      for (int64_t c = 0; c < s.C; ++c) indices[at + c] = corner + offsets.data()[taps[at + c]];
    }
  });
}

template <typename T, typename Tap>
MaxPool2dKernels<T, Tap> table() {
  return {forward<T, Tap>, backward<T, Tap>, indices<Tap>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

#define ATROUS_SPECIALISE(T, Tap)                                              \
  template <>                                                                  \
  MaxPool2dKernels<T, Tap> max_pool2d_kernels<Level::ATROUS_LEVEL, T, Tap>() { \
    return ATROUS_LEVEL::table<T, Tap>();                                      \
  }
ATROUS_SPECIALISE(float, uint8_t)
ATROUS_SPECIALISE(float, int32_t)
ATROUS_SPECIALISE(double, uint8_t)
ATROUS_SPECIALISE(double, int32_t)
#undef ATROUS_SPECIALISE

}  // namespace atrous
