// Few channels make taps too short to multiply one by one. Then the windows of a piece of sites are copied side by
// side into rows of taps * K numbers, zeros where they leave the image, and a row is one tap.
#pragma once
#include "kernels/cpu/conv2d_sites.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool has_few_channels(const Conv2dShape& s) { return s.G == 1 && s.IC < 16 && s.KH * s.KW > 1; }

inline int64_t patch_stride(const Sites& s) { return divide_up(s.taps * s.K, 16) * 16 + 16; }

template <typename T>
inline void copy_few(int64_t n, const T* from, T* to) {
  constexpr int W = Vec<T>::width;
  if (n < W) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
    return;
  }
  for (int64_t i = 0; i + W < n; i += W) store(to + i, load(from + i));
  store(to + n - W, load(from + n - W));  // overlaps what is there already
}

// Row kh of the window of a site: taps [first_tap, first_tap + KW), the leftmost of which reads column w of row h.
template <typename T>
void copy_window_row(const Sites& s, int64_t KW, int64_t dw, int64_t n, int64_t h, int64_t w, const T* source, T* to) {
  const bool inside = h >= 0 && h < s.SH;
  const T* row = inside ? source + (n * s.SH + h) * s.SW * s.SC : nullptr;
  if (inside && dw == 1 && w >= 0 && w + KW <= s.SW) return copy_few(KW * s.K, row + w * s.SC, to);
  for (int64_t kw = 0; kw < KW; ++kw, w += dw, to += s.K)
    for (int64_t c = 0; c < s.K; ++c) to[c] = inside && w >= 0 && w < s.SW ? row[w * s.SC + c] : T(0);
}

// Patches of the sites [first, first + rows), and a table that points to them.
template <typename T>
void fill_patches(const Sites& s, int64_t first, int64_t rows, const T* source, T* patches, const T** table) {
  int64_t KW = 1;  // taps of a row of the window
  while (KW < s.taps && s.tap_h[KW] == s.tap_h[0]) ++KW;
  const int64_t dw = KW > 1 ? s.tap_w[1] - s.tap_w[0] : 1, stride = patch_stride(s);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t site = first + i, qw = site % s.QW, qh = site / s.QW % s.QH, n = site / (s.QW * s.QH);
    T* to = patches + i * stride;
    table[i] = to;
    for (int64_t t = 0; t < s.taps; t += KW, to += KW * s.K)
      copy_window_row(s, KW, dw, n, qh * s.step_h + s.tap_h[t], qw * s.step_w + s.tap_w[t], source, to);
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
