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
void max_row(const MaxPool2dShape& shape, int64_t oh, bool far, const T* x, T* y, Tap* taps) {
  const MaxPool2dShape s = shape;  // in registers: stores of bytes may alias the caller's
  const TapsInside rows = taps_inside(oh, s.sh, s.ph, s.dh, s.KH, s.IH);
  // Pixels with another one behind them and behind their window.
  const int64_t room = s.IW - 2 + s.pw - (s.KW - 1) * s.dw;
  const int64_t run_on_end = runs_on<T, W>(s.C) && room >= 0 ? min_of(s.OW - 1, room / s.sw + 1) : 0;
  for (int64_t ow = 0; ow < s.OW; ++ow, y += s.C, taps += s.C) {
    const TapsInside columns = taps_inside(ow, s.sw, s.pw, s.dw, s.KW, s.IW);
    for (int64_t kh = 0; far && kh < rows.count(); ++kh)
      prefetch_ahead(s.sw * s.C, x + ((rows.start + kh * s.dh) * s.IW + columns.start) * s.C);
    if (K > 0 && rows.count() == K && columns.count() == K && ow < run_on_end)
      max_pixel<K, wide<T, W>>(s, rows, columns, x, y, taps);
    else if (K > 0 && rows.count() == K && columns.count() == K)
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
  const bool far = exceeds_caches(s.N * (in + s.OH * out) * static_cast<int64_t>(sizeof(T)));
  with_width<T>(s.C, [&](auto W) {
    for_rows<decltype(W)::value>(s.N * s.OH, in / s.OH, [&](int64_t row) {
      max_row<K, decltype(W)::value>(s, row % s.OH, far, x + row / s.OH * in, y + row * out, taps + row * out);
    });
  });
}

template <typename T, typename Tap>
void forward(const MaxPool2dShape& s, const T* x, T* y, Tap* taps) {
  if (s.N * s.C * s.OH * s.OW == 0) return;
  if constexpr (sizeof(Tap) == 1) {
    if (s.KH == 2 && s.KW == 2) return forward_rows<2>(s, x, y, taps);
    if (s.KH == 3 && s.KW == 3) return forward_rows<3>(s, x, y, taps);
  }
  forward_rows<0>(s, x, y, taps);
}

// W bytes, each in a lane as wide as T but not at its bottom: compilers widen bytes badly, and comparing needs no more
// than one mask for each sizeof(T) lanes. Little-endian.
template <typename T, int W>
struct SpreadBytes {
  using Word = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  typedef Word Words __attribute__((vector_size(W * sizeof(T))));
  static constexpr int kGroup = sizeof(T);

  // The byte as it stands in each lane, or in those of the group that begins at lane `first` only.
  static Words place(uint64_t byte, int first = -1) {
    Words words{};
    for (int i = 0; i < W; ++i)
      if (first < 0 || i / kGroup == first / kGroup) words[i] = static_cast<Word>(byte << 8 * (i % kGroup));
    return words;
  }

  static Words load(const uint8_t* p) {
    Words all{};
    for (int first = 0; first < W; first += kGroup) {
      Word word = 0;
      __builtin_memcpy(&word, p + first, W < kGroup ? W : kGroup);
      all |= (Words{} + word) & place(255, first);
    }
    return all;
  }
};

// The S x S input pixels with (i + padding) / S == (bh, bw), for a dense K x K window of stride S: they are reached by
// the J x J outputs up to (bh, bw) only, each of which is loaded once. Not whole: some of these pixels or outputs do
// not exist.
template <bool whole, int K, int S, int W, typename T>
inline void gather_block(const MaxPool2dShape& s, int64_t bh, int64_t bw, const T* grad_y, const uint8_t* taps,
                         T* grad_x) {
  using L = Lanes<T, W>;
  using Bytes = SpreadBytes<T, W>;
  constexpr int J = (K + S - 1) / S;
  const int64_t ih = bh * S - s.ph, iw = bw * S - s.pw;
  for_channels<W>(s.C, [&](int64_t c) {
    typename L::Vector sum[S][S]{};
    unrolled<J * J>([&](auto output) {
      constexpr int jh = J - 1 - decltype(output)::value / J, jw = J - 1 - decltype(output)::value % J;
      const int64_t oh = bh - jh, ow = bw - jw, at = (oh * s.OW + ow) * s.C + c;
      if (!whole && (oh < 0 || oh >= s.OH || ow < 0 || ow >= s.OW)) return;
      const auto grad = L::load(grad_y + at);
      const auto tap = Bytes::load(taps + at);
      unrolled<S * S>([&](auto pixel) {
        constexpr int rh = decltype(pixel)::value / S, rw = decltype(pixel)::value % S;
        constexpr int kh = rh + jh * S, kw = rw + jw * S;
        if (kh < K && kw < K) sum[rh][rw] = tap == Bytes::place(kh * K + kw) ? sum[rh][rw] + grad : sum[rh][rw];
      });
    });
    unrolled<S * S>([&](auto pixel) {
      constexpr int rh = decltype(pixel)::value / S, rw = decltype(pixel)::value % S;
      if (whole || (ih + rh >= 0 && ih + rh < s.IH && iw + rw >= 0 && iw + rw < s.IW))
        L::store(grad_x + ((ih + rh) * s.IW + iw + rw) * s.C + c, sum[rh][rw]);
    });
  });
}

template <int K, int S, int W, typename T>
void gather_row(const MaxPool2dShape& shape, int64_t bh, const T* grad_y, const uint8_t* taps, T* grad_x) {
  const MaxPool2dShape s = shape;  // in registers: stores may alias the caller's
  constexpr int64_t J = (K + S - 1) / S;
  const auto whole = [](int64_t b, int64_t padding, int64_t I, int64_t O) {
    return b * S >= padding && (b + 1) * S - padding <= I && b - J + 1 >= 0 && b < O;
  };
  const bool whole_row = whole(bh, s.ph, s.IH, s.OH);
  // Blocks with another pixel and another output behind them.
  const int64_t run_on_end = runs_on<T, W>(s.C) ? min_of(s.OW - 1, (s.IW + s.pw - 1) / S) : 0;
  for (int64_t bw = s.pw / S; bw * S < s.IW + s.pw; ++bw) {
    if (whole_row && whole(bw, s.pw, s.IW, s.OW) && bw < run_on_end)
      gather_block<true, K, S, wide<T, W>>(s, bh, bw, grad_y, taps, grad_x);
    else if (whole_row && whole(bw, s.pw, s.IW, s.OW))
      gather_block<true, K, S, W>(s, bh, bw, grad_y, taps, grad_x);
    else
      gather_block<false, K, S, W>(s, bh, bw, grad_y, taps, grad_x);
  }
}

template <int K, int S, typename T>
void backward_gather(const MaxPool2dShape& s, const T* grad_y, const uint8_t* taps, T* grad_x) {
  const int64_t in = s.IH * s.IW * s.C, out = s.OH * s.OW * s.C;
  const int64_t first = s.ph / S, blocks = divide_up(s.IH + s.ph, S) - first;
  with_width<T>(s.C, [&](auto W) {
    for_rows<decltype(W)::value>(s.N * blocks, S * s.IW * s.C, [&](int64_t row) {
      const int64_t n = row / blocks;
      gather_row<K, S, decltype(W)::value>(s, first + row % blocks, grad_y + n * out, taps + n * out, grad_x + n * in);
    });
  });
}

// Where a tap lies from the first tap of its window, in pixels.
struct TapOffset {
  int64_t h, w;
};

void fill_offsets(const MaxPool2dShape& s, TapOffset* offsets) {
  for (int64_t kh = 0; kh < s.KH; ++kh)
    for (int64_t kw = 0; kw < s.KW; ++kw) offsets[kh * s.KW + kw] = {kh * s.dh, kw * s.dw};
}

// Any window. A piece is some channels of one image, since windows may overlap.
template <typename T, typename Tap>
void backward_scatter(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  const Workspace<TapOffset> offsets(s.KH * s.KW);
  fill_offsets(s, offsets.data());
  for_images(s.N, s.C, s.IH * s.IW, [&](int64_t n, int64_t first, int64_t last) {
    T* image = grad_x + n * s.IH * s.IW * s.C;
    clear_channels(image, s.IH * s.IW, s.C, first, last);
    const int64_t taps_in_window = s.KH * s.KW;
    for (int64_t oh = 0, at = n * s.OH * s.OW * s.C; oh < s.OH; ++oh)
      for (int64_t ow = 0; ow < s.OW; ++ow, at += s.C) {
        const int64_t h = oh * s.sh - s.ph, w = ow * s.sw - s.pw;
        for (int64_t c = first; c < last; ++c) {
          const int64_t tap = taps[at + c];
          if (tap < 0 || tap >= taps_in_window) continue;
          const int64_t ih = h + offsets.data()[tap].h, iw = w + offsets.data()[tap].w;
          if (ih >= 0 && ih < s.IH && iw >= 0 && iw < s.IW) image[(ih * s.IW + iw) * s.C + c] += grad_y[at + c];
        }
      }
  });
}

template <typename T, typename Tap>
void backward(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  if (s.N * s.C * s.IH * s.IW == 0) return;
  if constexpr (sizeof(Tap) == 1) {
    const bool vectors = s.C >= 3 && s.dh == 1 && s.dw == 1 && s.KH == s.KW && s.sh == s.sw;
    if (vectors && s.KH == 2 && s.sh == 2) return backward_gather<2, 2>(s, grad_y, taps, grad_x);
    if (vectors && s.KH == 3 && s.sh == 2) return backward_gather<3, 2>(s, grad_y, taps, grad_x);
    if (vectors && s.KH == 3 && s.sh == 1) return backward_gather<3, 1>(s, grad_y, taps, grad_x);
  }
  backward_scatter(s, grad_y, taps, grad_x);
}

template <typename Tap>
void indices(const MaxPool2dShape& s, const Tap* taps, int64_t* indices) {
  const Workspace<TapOffset> offsets(s.KH * s.KW);
  fill_offsets(s, offsets.data());
  for_rows<1>(s.N * s.OH, s.OW * s.C, [&](int64_t row) {
    for (int64_t ow = 0; ow < s.OW; ++ow) {
      const int64_t h = row % s.OH * s.sh - s.ph, w = ow * s.sw - s.pw, at = (row * s.OW + ow) * s.C;
      for (int64_t c = 0; c < s.C; ++c) {
        const TapOffset offset = offsets.data()[taps[at + c]];
        indices[at + c] = (h + offset.h) * s.IW + w + offset.w;
      }
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
