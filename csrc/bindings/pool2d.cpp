#include "kernels/pool2d.h"

#include <functional>

#include "bindings/array.h"
#include "bindings/pool2d_frame.h"

namespace atrous {
namespace {

using namespace py::literals;
using namespace pooling;
using Shape = std::vector<int64_t>;

// Max pooling

MaxPool2dShape max_shape(const char* function, const Shape& like, const Frame& f, Pair output) {
  check_size(function, "the number of taps", checked_multiply(f.kernel[0], f.kernel[1]), 1);
  return {like[0],     like[1],     f.input[0],  f.input[1],   output[0],    output[1],     f.kernel[0],
          f.kernel[1], f.stride[0], f.stride[1], f.padding[0], f.padding[1], f.dilation[0], f.dilation[1]};
}

// The shape behind taps or grad_y of a forward in either ceil_mode.
MaxPool2dShape shape_from_output(const char* function, const Shape& y, const Frame& f) {
  f.check(function);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t O = y[i + 2];
    require(O > 0 && (O == f.output_size(i, false) || O == f.output_size(i, true)), function, ": output shape ", y,
            " does not follow from input_size, kernel_size, stride, padding and dilation");
  }
  return max_shape(function, y, f, {y[2], y[3]});
}

// Calls f(uint8_t{}) or f(int32_t{}): the type that taps of this window have.
template <typename F>
py::object for_taps(Pair kernel, F&& f) {
  const bool small = kernel[0] > 0 && kernel[1] > 0 && kernel[0] <= 256 && kernel[1] <= 256;
  return small && kernel[0] * kernel[1] <= 256 ? f(uint8_t{}) : f(int32_t{});
}

template <typename T, typename Tap>
MaxPool2dKernels<T, Tap> max_kernels() {
  return at_level([](auto level) { return max_pool2d_kernels<decltype(level)::value, T, Tap>(); });
}

py::object max_forward(const py::object& x_, Pair kernel_size, Pair stride, Pair padding, Pair dilation,
                       bool ceil_mode) {
  const char* function = "max_pool2d_forward";
  return for_any_dtype(x_, "max_pool2d_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "max_pool2d_forward: x", 4, Order::channels_last);
    const Frame frame{{x.size(2), x.size(3)}, kernel_size, stride, padding, dilation};
    frame.check(function);
    const MaxPool2dShape s = max_shape(function, x.shape(), frame, frame.output_sizes(function, ceil_mode));
    return for_taps(kernel_size, [&](auto tap) -> py::object {
      using Tap = decltype(tap);
      NdArray y = empty<T>({s.N, s.C, s.OH, s.OW}, Order::channels_last);
      NdArray taps = empty<Tap>({s.N, s.C, s.OH, s.OW}, Order::channels_last);
      T* out = mutable_data<T>(y);
      Tap* taps_out = mutable_data<Tap>(taps);
      {
        ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(x.elements() + y.size())));
        max_kernels<T, Tap>().forward(s, x.data(), out, taps_out);
      }
      return py::make_tuple(y, taps);
    });
  });
}

py::object max_backward(const py::object& grad_y_, const py::object& taps_, Pair input_size, Pair kernel_size,
                        Pair stride, Pair padding, Pair dilation) {
  return for_any_dtype(grad_y_, "max_pool2d_backward: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "max_pool2d_backward: grad_y", 4, Order::channels_last);
    const Frame frame{input_size, kernel_size, stride, padding, dilation};
    const MaxPool2dShape s = shape_from_output("max_pool2d_backward", grad_y.shape(), frame);
    return for_taps(kernel_size, [&](auto tap) -> py::object {
      using Tap = decltype(tap);
      const Array<Tap> taps(taps_, "max_pool2d_backward: taps", 4, Order::channels_last);
      require_shape(taps.shape(), grad_y.shape(), "max_pool2d_backward: taps");
      NdArray grad_x = empty<T>({s.N, s.C, s.IH, s.IW}, Order::channels_last);
      T* out = mutable_data<T>(grad_x);
      {
        ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(grad_y.elements() + grad_x.size())));
        max_kernels<T, Tap>().backward(s, grad_y.data(), taps.data(), out);
      }
      return grad_x;
    });
  });
}

py::object max_indices(const py::object& taps_, Pair input_size, Pair kernel_size, Pair stride, Pair padding,
                       Pair dilation) {
  return for_taps(kernel_size, [&](auto tap) -> py::object {
    using Tap = decltype(tap);
    const Array<Tap> taps(taps_, "max_pool2d_indices: taps", 4, Order::channels_last);
    const Frame frame{input_size, kernel_size, stride, padding, dilation};
    const MaxPool2dShape s = shape_from_output("max_pool2d_indices", taps.shape(), frame);
    require(!find_outside(taps.data(), taps.elements(), s.KH * s.KW, 0),
            "max_pool2d_indices: taps has a value outside the window");
    NdArray indices = empty<int64_t>({s.N, s.C, s.OH, s.OW}, Order::channels_last);
    int64_t* out = mutable_data<int64_t>(indices);
    {
      ReleaseGil gil(bytes_moved(8.0 * static_cast<double>(taps.elements())));
      max_kernels<float, Tap>().indices(s, taps.data(), out);
    }
    return indices;
  });
}

// Average and adaptive pooling

template <typename T>
WindowPool2dKernels<T> window_kernels() {
  return at_level([](auto level) { return window_pool2d_kernels<decltype(level)::value, T>(); });
}

// How average and adaptive pooling cut the input. Tables of windows are made after the arrays whose size bounds theirs.
struct Pooling {
  Pair input, output;
  std::function<Windows(size_t axis)> windows;
};

struct Tables {
  Windows rows, columns;
  WindowPool2dShape shape;

  // `like` has the N and C.
  Tables(const Shape& like, const Pooling& p)
      : shape{like[0], like[1], p.input[0], p.input[1], p.output[0], p.output[1], nullptr, nullptr} {
    if (like[0] * like[1] == 0) return;  // kernels do nothing
    rows = p.windows(0);
    columns = p.windows(1);
    shape.rows = rows.data();
    shape.columns = columns.data();
  }
};

Pooling average_pooling(const char* function, const Frame& frame, bool ceil_mode, bool count_include_pad,
                        std::optional<int64_t> divisor_override) {
  frame.check(function);
  require(divisor_override != 0, function, ": divisor_override is 0; expected a non-zero number");
  const Pair output = frame.output_sizes(function, ceil_mode);
  return {frame.input, output, [=](size_t axis) {
            Windows windows = average_windows(frame, axis, output[axis], count_include_pad);
            if (divisor_override)
              for (PoolWindow& window : windows) window.divisor = axis == 0 ? *divisor_override : 1;
            return windows;
          }};
}

Pooling adaptive_pooling(const char* function, Pair input, Pair output) {
  check_image(function, input[0], input[1]);
  check_size(function, "output_size", output[0], 0);
  check_size(function, "output_size", output[1], 0);
  return {input, output, [=](size_t axis) { return adaptive_windows(input[axis], output[axis]); }};
}

template <typename T>
py::object run_average_forward(const Array<T>& x, const Pooling& pooling) {
  NdArray y = empty<T>({x.size(0), x.size(1), pooling.output[0], pooling.output[1]}, Order::channels_last);
  T* out = mutable_data<T>(y);
  const Tables tables(x.shape(), pooling);
  {
    ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(x.elements() + y.size())));
    window_kernels<T>().average_forward(tables.shape, x.data(), out);
  }
  return y;
}

template <typename T>
py::object run_average_backward(const char* name, const Array<T>& grad_y, const Pooling& pooling) {
  const int64_t N = grad_y.size(0), C = grad_y.size(1);
  require_shape(grad_y.shape(), {N, C, pooling.output[0], pooling.output[1]}, name);
  NdArray grad_x = empty<T>({N, C, pooling.input[0], pooling.input[1]}, Order::channels_last);
  T* out = mutable_data<T>(grad_x);
  const Tables tables(grad_y.shape(), pooling);
  {
    ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(grad_y.elements() + grad_x.size())));
    window_kernels<T>().average_backward(tables.shape, grad_y.data(), out);
  }
  return grad_x;
}

py::object avg_forward(const py::object& x_, Pair kernel_size, Pair stride, Pair padding, bool ceil_mode,
                       bool count_include_pad, std::optional<int64_t> divisor_override) {
  return for_any_dtype(x_, "avg_pool2d_forward: x", [&](auto zero) {
    using T = decltype(zero);
    const Array<T> x(x_, "avg_pool2d_forward: x", 4, Order::channels_last);
    const Frame frame{{x.size(2), x.size(3)}, kernel_size, stride, padding, {1, 1}};
    return run_average_forward(
        x, average_pooling("avg_pool2d_forward", frame, ceil_mode, count_include_pad, divisor_override));
  });
}

py::object avg_backward(const py::object& grad_y_, Pair input_size, Pair kernel_size, Pair stride, Pair padding,
                        bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override) {
  return for_any_dtype(grad_y_, "avg_pool2d_backward: grad_y", [&](auto zero) {
    using T = decltype(zero);
    const char* name = "avg_pool2d_backward: grad_y";
    const Array<T> grad_y(grad_y_, name, 4, Order::channels_last);
    const Frame frame{input_size, kernel_size, stride, padding, {1, 1}};
    return run_average_backward(
        name, grad_y, average_pooling("avg_pool2d_backward", frame, ceil_mode, count_include_pad, divisor_override));
  });
}

py::object adaptive_avg_forward(const py::object& x_, Pair output_size) {
  return for_any_dtype(x_, "adaptive_avg_pool2d_forward: x", [&](auto zero) {
    using T = decltype(zero);
    const Array<T> x(x_, "adaptive_avg_pool2d_forward: x", 4, Order::channels_last);
    return run_average_forward(x, adaptive_pooling("adaptive_avg_pool2d_forward", {x.size(2), x.size(3)}, output_size));
  });
}

py::object adaptive_avg_backward(const py::object& grad_y_, Pair input_size) {
  return for_any_dtype(grad_y_, "adaptive_avg_pool2d_backward: grad_y", [&](auto zero) {
    using T = decltype(zero);
    const char* name = "adaptive_avg_pool2d_backward: grad_y";
    const Array<T> grad_y(grad_y_, name, 4, Order::channels_last);
    return run_average_backward(
        name, grad_y, adaptive_pooling("adaptive_avg_pool2d_backward", input_size, {grad_y.size(2), grad_y.size(3)}));
  });
}

// Positions are 32-bit lanes in the kernel.
void check_plane(const char* function, Pair input) {
  check_size(function, "the number of pixels", checked_multiply(input[0], input[1]), 1);
}

py::object adaptive_max_forward(const py::object& x_, Pair output_size) {
  const char* function = "adaptive_max_pool2d_forward";
  return for_any_dtype(x_, "adaptive_max_pool2d_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "adaptive_max_pool2d_forward: x", 4, Order::channels_last);
    const Pair input{x.size(2), x.size(3)};
    const Pooling pooling = adaptive_pooling(function, input, output_size);
    check_plane(function, input);
    const Shape shape{x.size(0), x.size(1), output_size[0], output_size[1]};
    NdArray y = empty<T>(shape, Order::channels_last);
    NdArray indices = empty<int64_t>(shape, Order::channels_last);
    T* out = mutable_data<T>(y);
    int64_t* indices_out = mutable_data<int64_t>(indices);
    const Tables tables(x.shape(), pooling);
    {
      ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(x.elements() + y.size())));
      window_kernels<T>().max_forward(tables.shape, x.data(), out, indices_out);
    }
    return py::make_tuple(y, indices);
  });
}

py::object adaptive_max_backward(const py::object& grad_y_, const py::object& indices_, Pair input_size) {
  const char* function = "adaptive_max_pool2d_backward";
  return for_any_dtype(grad_y_, "adaptive_max_pool2d_backward: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "adaptive_max_pool2d_backward: grad_y", 4, Order::channels_last);
    const Array<int64_t> indices(indices_, "adaptive_max_pool2d_backward: indices", 4, Order::channels_last);
    require_shape(indices.shape(), grad_y.shape(), "adaptive_max_pool2d_backward: indices");
    const Pooling pooling = adaptive_pooling(function, input_size, {grad_y.size(2), grad_y.size(3)});
    check_plane(function, input_size);
    NdArray grad_x = empty<T>({grad_y.size(0), grad_y.size(1), input_size[0], input_size[1]}, Order::channels_last);
    T* out = mutable_data<T>(grad_x);
    const Tables tables(grad_y.shape(), pooling);
    {
      ReleaseGil gil(bytes_moved(sizeof(T) * static_cast<double>(grad_y.elements() + grad_x.size())));
      window_kernels<T>().max_backward(tables.shape, grad_y.data(), indices.data(), out);
    }
    return grad_x;
  });
}

}  // namespace

void bind_pool2d(py::module_& m) {
  m.def("max_pool2d_forward", &max_forward, "x"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
        "ceil_mode"_a, "(y, taps): the largest value of each window and its tap kh*KW + kw.");
  m.def("max_pool2d_backward", &max_backward, "grad_y"_a, "taps"_a, "input_size"_a, "kernel_size"_a, "stride"_a,
        "padding"_a, "dilation"_a, "Adds each grad_y to the pixel that its window took.");
  m.def("max_pool2d_indices", &max_indices, "taps"_a, "input_size"_a, "kernel_size"_a, "stride"_a, "padding"_a,
        "dilation"_a, "Turns taps into flat indices ih*IW + iw of the input plane.");
  m.def("avg_pool2d_forward", &avg_forward, "x"_a, "kernel_size"_a, "stride"_a, "padding"_a, "ceil_mode"_a,
        "count_include_pad"_a, "divisor_override"_a, "The sum of each window over its divisor.");
  m.def("avg_pool2d_backward", &avg_backward, "grad_y"_a, "input_size"_a, "kernel_size"_a, "stride"_a, "padding"_a,
        "ceil_mode"_a, "count_include_pad"_a, "divisor_override"_a,
        "Adds grad_y over its divisor to every pixel of its window.");
  m.def("adaptive_avg_pool2d_forward", &adaptive_avg_forward, "x"_a, "output_size"_a,
        "Averages OH x OW windows that cover the input.");
  m.def("adaptive_avg_pool2d_backward", &adaptive_avg_backward, "grad_y"_a, "input_size"_a,
        "Adds an equal share of grad_y to every pixel of its window.");
  m.def("adaptive_max_pool2d_forward", &adaptive_max_forward, "x"_a, "output_size"_a,
        "(y, indices): the largest value of each window and its flat index ih*IW + iw.");
  m.def("adaptive_max_pool2d_backward", &adaptive_max_backward, "grad_y"_a, "indices"_a, "input_size"_a,
        "Adds each grad_y to the pixel that its window took.");
}

}  // namespace atrous
