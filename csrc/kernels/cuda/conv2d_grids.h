// What forward and backward_input have in common where groups are small: pixels of a grid, each a sum over taps and
// channels of what it sees.
#pragma once
#include <algorithm>

#include "kernels/cuda/conv2d_tiles.h"

namespace atrous {
namespace {

constexpr int64_t kSmallGroup = 32;  // channels; larger ones fill tiles of their own (conv2d_tiles.h)
constexpr int64_t kMostTaps = 1024;  // whose places are a table in shared memory

// Their kernels count the pixels of an image, and the bytes of a pixel, in 32 bits.
inline bool has_small_groups(const Conv2dShape& s) {
  constexpr int64_t kMostPixels = 1 << 28, kMostChannels = 1 << 24;
  return s.G > 1 && s.N < int64_t{1} << 31 && s.KH * s.KW <= kMostTaps && s.IC / s.G <= kSmallGroup &&
         s.OC / s.G <= kSmallGroup && std::max(s.IH * s.IW, s.OH * s.OW) <= kMostPixels &&
         std::max(s.IC, s.OC) <= kMostChannels;
}

// Those by plain multiply-adds read and write four channels of a group at a time.
inline bool has_small_groups_of_fours(const Conv2dShape& s) {
  return has_small_groups(s) && s.IC / s.G % 4 == 0 && s.OC / s.G % 4 == 0;
}

// What a grid sees, by which taps of the kernel.
struct Field {
  Axis h, w;
  TapsOfAxis taps_h, taps_w;
  __device__ int taps() const { return h.taps * w.taps; }
  // In the kernel, the tap that is here number (i, j).
  __device__ int64_t tap(int i, int j, int KW) const {
    return int64_t{taps_h.first + i * taps_h.step} * KW + taps_w.first + j * taps_w.step;
  }
};

// The pixels of y.
template <typename T>
struct OutputGrid {
  Axis h, w;
  MatrixTarget<T> y;

  OutputGrid(const Conv2dShape& s, const Epilogue<T>& e, T* to, bool packed)
      : h(height_of(s)), w(width_of(s)), y{{to, e, packed}, s.N * s.OH * s.OW, s.OC} {}

  __device__ Field field(unsigned) const { return {h, w, {0, 1, h.taps}, {0, 1, w.taps}}; }
  __device__ const MatrixTarget<T>& target(unsigned) const { return y; }
};

// Those of grad_x: pixels that are a stride apart make a grid, of `parts` of them.
template <typename T>
struct InputGrid {
  PixelTarget<T> grad_x;

  InputGrid(const Conv2dShape& s, T* to, bool packed)
      : InputGrid(s, to, packed, Stride::of(s.sh, s.ph, s.dh, s.KH, s.IH, s.OH),
                  Stride::of(s.sw, s.pw, s.dw, s.KW, s.IW, s.OW)) {}

  const Stride& h() const { return grad_x.h; }
  const Stride& w() const { return grad_x.w; }
  int parts() const { return h().parts * w().parts; }

  __device__ Field field(unsigned part) const {
    Field field;
    field.taps_h = grad_x.h.reach(static_cast<int>(part) / grad_x.w.parts, field.h);
    field.taps_w = grad_x.w.reach(static_cast<int>(part) % grad_x.w.parts, field.w);
    return field;
  }
  __device__ PixelTarget<T> target(unsigned part) const {
    PixelTarget<T> target = grad_x;
    target.first_h = static_cast<int>(part) / grad_x.w.parts;
    target.first_w = static_cast<int>(part) % grad_x.w.parts;
    return target;
  }

 private:
  InputGrid(const Conv2dShape& s, T* to, bool packed, const Stride& h, const Stride& w)
      : grad_x{{to, {}, packed}, s.N * h.pixels() * w.pixels(), s.IC, 0, 0, h, w, h.pixels(), w.pixels()} {}
};

// A group's weights by filter and channel, as a grid has them: those of grad_x make a sum over oc. Numbers of a next
// group, tap, filter or channel are so far apart.
template <typename T>
struct Filters {
  const T* weight;
  int64_t group, tap, filter, channel;
  int channels, KW;

  static Filters of_y(const Conv2dShape& s, const T* weight) {
    const int64_t ICG = s.IC / s.G, filter = s.KH * s.KW * ICG;
    return {weight, s.OC / s.G * filter, ICG, filter, 1, narrow(ICG), narrow(s.KW)};
  }
  static Filters of_grad_x(const Conv2dShape& s, const T* weight) {
    const int64_t ICG = s.IC / s.G, OCG = s.OC / s.G, filter = s.KH * s.KW * ICG;
    return {weight, OCG * filter, ICG, 1, filter, narrow(OCG), narrow(s.KW)};
  }
};

}  // namespace
}  // namespace atrous
