// Where a convolution reads and writes. Both directions gather: every site (an output pixel of the forward, an input
// pixel of the backward) sums over taps, and tap t of site (qh, qw) reads the source pixel
//   (qh * step_h + tap_h[t], qw * step_w + tap_w[t])    or zeros where that lies outside.
// Forward: one set of sites. Backward-input: one set for each residue of the input position modulo the stride; only
// the taps that reach that residue are listed, so no multiplication is wasted.
#pragma once
#include "core/simd.h"
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

struct Sites {
  int64_t N, QH, QW;                             // sites of each of N images
  int64_t step_h, step_w;                        // of the source position, per site
  int64_t SH, SW, SC;                            // source: height, width, channels
  int64_t DH, DW, DC;                            // destination
  int64_t start_h, start_w, stride_h, stride_w;  // destination position = start + stride * site
  int64_t taps;
  int64_t *tap_h, *tap_w, *tap_id;  // [taps]; tap_id = kh * KW + kw
};

// storage holds 3 * KH * KW numbers.
Sites forward_sites(const Conv2dShape& s, int64_t* storage) {
  const int64_t taps = s.KH * s.KW;
  Sites sites{s.N,
              s.OH,
              s.OW,
              s.sh,
              s.sw,
              s.IH,
              s.IW,
              s.IC,
              s.OH,
              s.OW,
              s.OC,
              0,
              0,
              1,
              1,
              taps,
              storage,
              storage + taps,
              storage + 2 * taps};
  for (int64_t t = 0; t < taps; ++t) {
    sites.tap_h[t] = t / s.KW * s.dh - s.ph;
    sites.tap_w[t] = t % s.KW * s.dw - s.pw;
    sites.tap_id[t] = t;
  }
  return sites;
}

// The input pixels with ih % sh == rh and iw % sw == rw. May have no sites, or no taps (then the gradient is zero).
Sites backward_sites(const Conv2dShape& s, int64_t rh, int64_t rw, int64_t* storage) {
  const int64_t all = s.KH * s.KW;
  Sites sites{s.N,
              rh < s.IH ? divide_up(s.IH - rh, s.sh) : 0,
              rw < s.IW ? divide_up(s.IW - rw, s.sw) : 0,
              1,
              1,
              s.OH,
              s.OW,
              s.OC,
              s.IH,
              s.IW,
              s.IC,
              rh,
              rw,
              s.sh,
              s.sw,
              0,
              storage,
              storage + all,
              storage + 2 * all};
  for (int64_t t = 0; t < all; ++t) {
    const int64_t h = rh + s.ph - t / s.KW * s.dh, w = rw + s.pw - t % s.KW * s.dw;
    if (h % s.sh != 0 || w % s.sw != 0) continue;
    sites.tap_h[sites.taps] = h / s.sh;
    sites.tap_w[sites.taps] = w / s.sw;
    sites.tap_id[sites.taps++] = t;
  }
  return sites;
}

// Pointers for sites [first, first + rows): table[t * rows + i] reads, out[i] writes (out may be nullptr).
template <typename T>
void fill_table(const Sites& s, int64_t first, int64_t rows, const T* source, const T* zeros, T* destination,
                const T** table, T** out) {
  int64_t qw = first % s.QW, qh = first / s.QW % s.QH, n = first / (s.QW * s.QH);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t t = 0; t < s.taps; ++t) {
      const int64_t h = qh * s.step_h + s.tap_h[t], w = qw * s.step_w + s.tap_w[t];
      const bool inside = h >= 0 && h < s.SH && w >= 0 && w < s.SW;
      table[t * rows + i] = inside ? source + ((n * s.SH + h) * s.SW + w) * s.SC : zeros;
    }
    if (out)
      out[i] = destination + ((n * s.DH + s.start_h + qh * s.stride_h) * s.DW + s.start_w + qw * s.stride_w) * s.DC;
    if (++qw == s.QW) {
      qw = 0;
      if (++qh == s.QH) qh = 0, ++n;
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
