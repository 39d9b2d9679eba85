// y (pixels, OCG) = windows of x (pixels, taps and channels) * weight (OCG, taps and channels) transposed, for each
// group.
#include "kernels/cuda/conv2d_tiles.h"

namespace atrous {
namespace {

template <typename T>
struct Forward {
  Scene<T> x;
  const T* weight;
  int64_t pixels, columns;
  MatrixTarget<T> y;

  struct Part {
    Scene<T> x;
    const T* weight;
    int64_t pixels, filters, steps;
    MatrixTarget<T> target;

    template <int n, int extent>
    __device__ Windows<T, n, extent> rows(int64_t first) const {
      return {x, first, pixels};
    }
    template <int n, int extent>
    __device__ MatrixRows<T, n, extent> columns(int64_t first) const {
      return {weight, first, filters, x.depth()};
    }
  };

  __device__ Part part(unsigned group) const {
    Part part{x, weight, pixels, columns, (x.depth() + kDepth<T> - 1) / kDepth<T>, y};
    part.x.images += group * x.channels;
    part.weight += group * columns * x.depth();
    const int64_t first = group * columns;
    part.target.y += first;
    if (y.then.scale) part.target.then.scale += first;
    if (y.then.bias) part.target.then.bias += first;
    if (y.then.residual) part.target.then.residual += first;
    return part;
  }
};

}  // namespace

template <typename T>
void forward_tiles(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& e,
                   T* y) {
  const int64_t pixels = s.N * s.OH * s.OW, ICG = s.IC / s.G, OCG = s.OC / s.G;
  const bool packed_out = may_be_packed<kChunk<T>>(OCG, y, e.scale, e.bias, e.residual);
  const Forward<T> problem{windows_of(s, x), weight, pixels, OCG, {{y, e, packed_out}, pixels, s.OC}};
  const bool packed = may_be_packed<kChunk<T>>(ICG, x, weight);
  const TileSize size = choose_tile<T>(pixels, OCG, s.G, packed && packed_out);
  run_tiles<T>(algorithm, problem, pixels, s.G, size, packed);
}

template void forward_tiles(const Conv2dShape&, Conv2dAlgorithm, const float*, const float*, const Epilogue<float>&,
                            float*);
template void forward_tiles(const Conv2dShape&, Conv2dAlgorithm, const double*, const double*, const Epilogue<double>&,
                            double*);
template void forward_tiles(const Conv2dShape&, Conv2dAlgorithm, const Float16*, const Float16*,
                            const Epilogue<Float16>&, Float16*);
template void forward_tiles(const Conv2dShape&, Conv2dAlgorithm, const BFloat16*, const BFloat16*,
                            const Epilogue<BFloat16>&, BFloat16*);

}  // namespace atrous
