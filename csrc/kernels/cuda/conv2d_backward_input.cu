// grad_x (pixels, ICG) = what of grad_y each pixel reached (pixels, taps and OCG) * weight (taps and OCG, ICG), for
// each group. With a stride, a pixel is reached through some of the taps only: those of all pixels that are a multiple
// of the stride apart are the same. So these make a part, which is as a convolution of stride 1, backwards through the
// taps.
#include "kernels/cuda/conv2d_tiles.h"

namespace atrous {
namespace {

template <typename T>
struct BackwardInput {
  Scene<T> grad_y;
  const T* weight;
  int64_t pixels, columns, taps, KW;
  PixelTarget<T> grad_x;

  struct Part {
    Scene<T> grad_y;
    const T* weight;
    TapsOfAxis h, w;
    int64_t pixels, channels, taps, KW, steps;
    PixelTarget<T> target;

    template <int n, int extent>
    __device__ Windows<T, n, extent> rows(int64_t first) const {
      return {grad_y, first, pixels};
    }
    template <int n, int extent>
    __device__ WeightColumns<T, n, extent> columns(int64_t first) const {
      return {weight, h, w, KW, taps * channels, grad_y.channels, first, channels};
    }
  };

  __device__ Part part(unsigned number) const {
    const unsigned rest = number / grad_x.w.parts, group = rest / grad_x.h.parts;
    Part part{grad_y, weight, {}, {}, pixels, columns, taps, KW, 0, grad_x};
    part.target.first_w = static_cast<int>(number - rest * grad_x.w.parts);
    part.target.first_h = static_cast<int>(rest - group * grad_x.h.parts);
    part.h = grad_x.h.reach(part.target.first_h, part.grad_y.h);
    part.w = grad_x.w.reach(part.target.first_w, part.grad_y.w);
    part.steps = (part.grad_y.depth() + kDepth<T> - 1) / kDepth<T>;
    part.grad_y.images += group * grad_y.channels;
    part.weight += group * grad_y.channels * taps * columns;
    part.target.y += group * columns;
    return part;
  }
};

}  // namespace

template <typename T>
void backward_input_tiles(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight,
                          T* grad_x) {
  const int64_t ICG = s.IC / s.G, OCG = s.OC / s.G;
  const Stride h = Stride::of(s.sh, s.ph, s.dh, s.KH, s.IH, s.OH), w = Stride::of(s.sw, s.pw, s.dw, s.KW, s.IW, s.OW);
  const int64_t pixels = s.N * h.pixels() * w.pixels(), parts = s.G * h.parts * w.parts;
  const Scene<T> scene{grad_y, s.N, s.OC, OCG, {}, {}, h.pixels(), w.pixels()};
  const bool packed_out = may_be_packed<kChunk<T>>(ICG, grad_x);
  const PixelTarget<T> target{{grad_x, {}, packed_out}, pixels, s.IC, 0, 0, h, w, h.pixels(), w.pixels()};
  const BackwardInput<T> problem{scene, weight, pixels, ICG, s.KH * s.KW, s.KW, target};
  const bool packed = may_be_packed<kChunk<T>>(ICG, weight) && may_be_packed<kChunk<T>>(OCG, grad_y);
  const TileSize size = choose_tile<T>(pixels, ICG, parts, packed && packed_out);
  run_tiles<T>(algorithm, problem, pixels, parts, size, packed);
}

template void backward_input_tiles(const Conv2dShape&, Conv2dAlgorithm, const float*, const float*, float*);
template void backward_input_tiles(const Conv2dShape&, Conv2dAlgorithm, const double*, const double*, double*);
template void backward_input_tiles(const Conv2dShape&, Conv2dAlgorithm, const Float16*, const Float16*, Float16*);
template void backward_input_tiles(const Conv2dShape&, Conv2dAlgorithm, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
