// Few channels make taps too short to multiply one by one. Then the windows of a piece of sites are copied side by
// side into rows of taps * K numbers, zeros where they leave the image, and a row is one tap.
#pragma once
#include "kernels/cpu/conv2d_sites.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool has_few_channels(const Conv2dShape& s) { return s.G == 1 && s.IC < 16 && s.KH * s.KW > 1; }

inline int64_t patch_stride(const Sites& s) { return divide_up(s.taps * s.K, 16) * 16 + 16; }

// Taps [first_tap, first_tap + KW) of a site in column qw, one by one; `row` is the row that they read, if any.
template <typename T>
void copy_window_row(const Sites& s, int64_t first_tap, int64_t KW, bool inside, int64_t qw, const T* row, T* to) {
  for (int64_t t = first_tap; t < first_tap + KW; ++t, to += s.K) {
    const int64_t w = qw * s.step_w + s.tap_w[t];
    for (int64_t c = 0; c < s.K; ++c) to[c] = inside && w >= 0 && w < s.SW ? row[w * s.SC + c] : T(0);
  }
}

// Copies n numbers by whole vectors, while they lie before `end`: what it writes past them is written again or not
// read.
template <typename T>
inline void copy_few(int64_t n, const T* from, const T* end, T* to) {
  constexpr int W = Vec<T>::width;
  int64_t i = 0;
  for (; i < n && end - from >= i + W; i += W) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

// Patches of the sites [first, first + rows), and a table that points to them.
template <typename T>
void fill_patches(const Sites& s, int64_t first, int64_t rows, const T* source, T* patches, const T** table) {
  int64_t KW = 1;  // taps of a row of the window
  while (KW < s.taps && s.tap_h[KW] == s.tap_h[0]) ++KW;
  const bool dense = KW == 1 || s.tap_w[1] - s.tap_w[0] == 1;
  const int64_t stride = patch_stride(s);
  const T* end = source + s.N * s.SH * s.SW * s.SC;
  int64_t qw = first % s.QW, qh = first / s.QW % s.QH, n = first / (s.QW * s.QH);
  for (int64_t i = 0; i < rows; ++i) {
    T* to = patches + i * stride;
    table[i] = to;
    for (int64_t t = 0; t < s.taps; t += KW, to += KW * s.K) {
      const int64_t h = qh * s.step_h + s.tap_h[t], w = qw * s.step_w + s.tap_w[t];
      const bool inside = h >= 0 && h < s.SH;
      const T* row = source + (n * s.SH + (inside ? h : 0)) * s.SW * s.SC;
      if (inside && dense && w >= 0 && w + KW <= s.SW)
        copy_few(KW * s.K, row + w * s.SC, end, to);
      else
        copy_window_row(s, t, KW, inside, qw, row, to);
    }
    if (++qw == s.QW) qw = 0, ++qh;
    if (qh == s.QH) qh = 0, ++n;
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
