#include "kernels/upsample2d.h"

#include <algorithm>
#include <cmath>

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;
using Scale = std::optional<std::array<double, 2>>;

// What reads what along one axis, as the contract says.
template <typename T>
struct Axis {
  std::vector<int64_t> starts;
  std::vector<Tap<T>> taps;

  explicit Axis(int64_t outputs) : starts(static_cast<size_t>(outputs) + 1) {}
  Taps<T> table() const { return {static_cast<int64_t>(starts.size()) - 1, starts.data(), taps.data()}; }
};

template <typename T>
Axis<T> bilinear(int64_t I, int64_t O, bool align_corners, std::optional<double> scale) {
  const double shift = align_corners ? 0 : 0.5;
  const double up = align_corners ? static_cast<double>(I - 1) : scale ? 1 : static_cast<double>(I);
  const double down = align_corners ? static_cast<double>(std::max<int64_t>(O - 1, 1)) : scale.value_or(double(O));
  Axis<T> axis(O);
  axis.taps.reserve(2 * static_cast<size_t>(O));
  for (int64_t o = 0; o < O; ++o) {
    const double position = std::max((double(o) + shift) * up / down - shift, 0.0);
    const int64_t first = O == I ? o : std::min(static_cast<int64_t>(position), I - 1);
    const int64_t second = O == I ? o : std::min(first + 1, I - 1);
    const double weight = O == I ? 0 : std::min(position - double(first), 1.0);
    axis.taps.push_back({first, static_cast<T>(1 - weight)});
    axis.taps.push_back({second, static_cast<T>(weight)});
    axis.starts[static_cast<size_t>(o) + 1] = 2 * (o + 1);
  }
  return axis;
}

template <typename T>
Axis<T> nearest(int64_t I, int64_t O, bool, std::optional<double> scale) {
  const bool given = scale && O != I && O != 2 * I;
  const float step = given ? static_cast<float>(1 / *scale) : static_cast<float>(I) / static_cast<float>(O);
  Axis<T> axis(O);
  axis.taps.reserve(static_cast<size_t>(O));
  for (int64_t o = 0; o < O; ++o) {
    axis.taps.push_back({std::min(static_cast<int64_t>(static_cast<float>(o) * step), I - 1), 1});
    axis.starts[static_cast<size_t>(o) + 1] = o + 1;
  }
  return axis;
}

// For each of I inputs the outputs that read it, in their order.
template <typename T>
Axis<T> transposed(const Axis<T>& axis, int64_t I) {
  Axis<T> result(I);
  result.taps.resize(axis.taps.size());
  for (const Tap<T>& tap : axis.taps) ++result.starts[static_cast<size_t>(tap.source) + 1];
  for (size_t i = 1; i < result.starts.size(); ++i) result.starts[i] += result.starts[i - 1];
  std::vector<int64_t> next = result.starts;
  for (size_t o = 0; o + 1 < axis.starts.size(); ++o)
    for (int64_t t = axis.starts[o]; t < axis.starts[o + 1]; ++t) {
      const Tap<T>& tap = axis.taps[static_cast<size_t>(t)];
      result.taps[static_cast<size_t>(next[static_cast<size_t>(tap.source)]++)] = {static_cast<int64_t>(o), tap.weight};
    }
  return result;
}

// Sizes that enter index arithmetic stay below 2^31, and scales within it, so that no position overflows.
void check(const char* function, Pair input, Pair output, const Scale& scale) {
  constexpr int64_t kLimit = int64_t{1} << 31;
  for (size_t i = 0; i < 2; ++i) {
    require(input[i] > 0 && input[i] < kLimit && output[i] > 0 && output[i] < kLimit, function, ": the size goes from ",
            input, " to ", output, "; expected sizes of at least 1 and below 2**31");
    require(!scale || ((*scale)[i] >= 1.0 / kLimit && (*scale)[i] <= kLimit), function, ": scale is ",
            scale ? (*scale)[i] : 0, "; expected at least 2**-31 and at most 2**31");
  }
}

// y of `size` from x, by tables for each axis.
template <typename T, typename MakeAxis>
py::object run(const Array<T>& x, Pair size, MakeAxis&& make_axis) {
  NdArray y = empty<T>({x.size(0), x.size(1), size[0], size[1]}, Order::channels_last);
  if (y.size() == 0) return y;
  T* out = mutable_data<T>(y);
  const Axis<Compute<T>> rows = make_axis(0), columns = make_axis(1);  // after y, whose size bounds theirs
  const Upsample2dShape<Compute<T>> s{x.size(0), x.size(1), x.size(2), x.size(3), rows.table(), columns.table()};
  const auto kernels = at_level([](auto level) { return upsample2d_kernels<decltype(level)::value, T>(); });
  {
    ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(x.elements() + y.size())));
    kernels.resample(s, x.data(), out);
  }
  return y;
}

std::optional<double> along(const Scale& scale, size_t axis) {
  return scale ? std::optional<double>((*scale)[axis]) : std::nullopt;
}

py::object forward(const std::string& function, bool smooth, const py::object& x_, Pair output_size, bool align_corners,
                   const Scale& scale) {
  const std::string name = function + ": x";
  return for_any_dtype(x_, name.c_str(), [&](auto zero) {
    using T = decltype(zero);
    const Array<T> x(x_, name.c_str(), 4, Order::channels_last);
    const Pair input{x.size(2), x.size(3)};
    check(function.c_str(), input, output_size, scale);
    const auto axis = smooth ? bilinear<Compute<T>> : nearest<Compute<T>>;
    return run(x, output_size,
               [&](size_t i) { return axis(input[i], output_size[i], align_corners, along(scale, i)); });
  });
}

py::object backward(const std::string& function, bool smooth, const py::object& grad_y_, Pair input_size,
                    bool align_corners, const Scale& scale) {
  const std::string name = function + ": grad_y";
  return for_any_dtype(grad_y_, name.c_str(), [&](auto zero) {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, name.c_str(), 4, Order::channels_last);
    const Pair output{grad_y.size(2), grad_y.size(3)};
    check(function.c_str(), input_size, output, scale);
    const auto axis = smooth ? bilinear<Compute<T>> : nearest<Compute<T>>;
    return run(grad_y, input_size, [&](size_t i) {
      return transposed(axis(input_size[i], output[i], align_corners, along(scale, i)), input_size[i]);
    });
  });
}

py::object bilinear_forward(const py::object& x, Pair output_size, bool align_corners, const Scale& scale) {
  return forward("upsample_bilinear2d_forward", true, x, output_size, align_corners, scale);
}

py::object bilinear_backward(const py::object& grad_y, Pair input_size, bool align_corners, const Scale& scale) {
  return backward("upsample_bilinear2d_backward", true, grad_y, input_size, align_corners, scale);
}

py::object nearest_forward(const py::object& x, Pair output_size, const Scale& scale) {
  return forward("upsample_nearest2d_forward", false, x, output_size, false, scale);
}

py::object nearest_backward(const py::object& grad_y, Pair input_size, const Scale& scale) {
  return backward("upsample_nearest2d_backward", false, grad_y, input_size, false, scale);
}

}  // namespace

void bind_upsample2d(py::module_& m) {
  m.def("upsample_bilinear2d_forward", &bilinear_forward, "x"_a, "output_size"_a, "align_corners"_a, "scale"_a,
        "Each output pixel from the four around its place in x.");
  m.def("upsample_bilinear2d_backward", &bilinear_backward, "grad_y"_a, "input_size"_a, "align_corners"_a, "scale"_a,
        "Adds each grad_y to the four pixels that it came from, by their weights.");
  m.def("upsample_nearest2d_forward", &nearest_forward, "x"_a, "output_size"_a, "scale"_a,
        "Each output pixel from the one nearest to its place in x.");
  m.def("upsample_nearest2d_backward", &nearest_backward, "grad_y"_a, "input_size"_a, "scale"_a,
        "Adds each grad_y to the pixel that it came from.");
}

}  // namespace atrous
