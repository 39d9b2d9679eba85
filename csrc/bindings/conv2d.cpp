#include "kernels/conv2d.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "bindings/array.h"
#include "bindings/conv2d_sizes.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
Conv2dKernels<T> kernels() {
  return at_level([](auto level) { return conv2d_kernels<decltype(level)::value, T>(); });
}

struct Name {
  const char* text;
  Conv2dAlgorithm algorithm;
};
constexpr Name kNames[] = {{"implicit_gemm", Conv2dAlgorithm::implicit_gemm},
                           {"depthwise", Conv2dAlgorithm::depthwise},
                           {"grouped", Conv2dAlgorithm::grouped},
                           {"winograd_2x2", Conv2dAlgorithm::winograd_2x2},
                           {"winograd_4x4", Conv2dAlgorithm::winograd_4x4},
                           {"tensor_cores", Conv2dAlgorithm::tensor_cores}};

// Whether the rule may pick the device's faster algorithms with larger rounding errors. ATROUS_WINOGRAD=0 starts
// without those of the CPU; a GPU's are off at first, as PyTorch's of matrix products are.
std::atomic<bool>& inexact_switch() {
  static std::atomic<bool> enabled{[] {
    const char* setting = std::getenv("ATROUS_WINOGRAD");
    return kInexact.at_first && !(setting && std::strcmp(setting, "0") == 0);
  }()};
  return enabled;
}

// The algorithm of a name, of the rule where there is none.
template <typename T>
Conv2dAlgorithm choose(const char* function, const Conv2dShape& s, Conv2dDirection direction,
                       const std::optional<std::string>& name) {
  if (!name) return kernels<T>().choose(s, direction, inexact_switch());
  std::string known;
  for (const Name& candidate : kNames) {
    if (*name == candidate.text) {
      require(kernels<T>().supports(s, direction, candidate.algorithm), function, ": algorithm '", *name,
              "' does not fit these sizes");
      return candidate.algorithm;
    }
    known += std::string(known.empty() ? "" : ", ") + candidate.text;
  }
  throw py::value_error(std::string(function) + ": algorithm '" + *name + "' is not one of " + known);
}

Conv2dDirection direction_of(const std::string& name) {
  if (name == "forward") return Conv2dDirection::forward;
  if (name == "backward_input") return Conv2dDirection::backward_input;
  require(name == "backward_weight", "conv2d_algorithms: direction '", name,
          "' is not one of forward, backward_input, backward_weight");
  return Conv2dDirection::backward_weight;
}

std::vector<std::string> algorithms(const std::string& direction_name, const std::vector<int64_t>& x,
                                    const std::vector<int64_t>& weight, Pair stride, Pair padding, Pair dilation,
                                    int64_t groups) {
  require(x.size() == 4 && weight.size() == 4, "conv2d_algorithms: x and weight must have 4 sizes");
  const Conv2dDirection direction = direction_of(direction_name);
  const Conv2dShape s = conv2d_shape("conv2d_algorithms", x, weight, stride, padding, dilation, groups);
  const Conv2dAlgorithm chosen = kernels<float>().choose(s, direction, inexact_switch());
  std::vector<std::string> names;
  for (const Name& candidate : kNames)
    if (kernels<float>().supports(s, direction, candidate.algorithm))
      names.insert(candidate.algorithm == chosen ? names.begin() : names.end(), candidate.text);
  return names;
}

double operations(const Conv2dShape& s) {
  return 2.0 * static_cast<double>(s.N * s.OH * s.OW) * static_cast<double>(s.OC * s.KH * s.KW) *
         static_cast<double>(s.IC / s.G);
}

py::object forward(const py::object& x_, const py::object& weight_, const py::object& bias_, Pair stride, Pair padding,
                   Pair dilation, int64_t groups, const std::optional<std::string>& algorithm, const py::object& scale_,
                   bool relu, const py::object& residual_, bool relu_last) {
  return for_any_dtype(x_, "conv2d_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "conv2d_forward: x", 4, Order::channels_last);
    const Array<T> weight(weight_, "conv2d_forward: weight", 4, Order::channels_last);
    const Conv2dShape s = conv2d_shape("conv2d_forward", x.shape(), weight.shape(), stride, padding, dilation, groups);
    const OptionalVector<Compute<T>> bias(bias_, "conv2d_forward: bias", s.OC);
    const OptionalVector<Compute<T>> scale(scale_, "conv2d_forward: scale", s.OC);
    std::optional<Array<T>> residual;
    if (!residual_.is_none()) {
      residual.emplace(residual_, "conv2d_forward: residual", 4, Order::channels_last);
      require_shape(residual->shape(), {s.N, s.OC, s.OH, s.OW}, "conv2d_forward: residual");
    }
    const Epilogue<T> epilogue{scale.data(), bias.data(), relu, residual ? residual->data() : nullptr, relu_last};
    const Conv2dAlgorithm chosen = choose<T>("conv2d_forward", s, Conv2dDirection::forward, algorithm);
    NdArray y = empty<T>({s.N, s.OC, s.OH, s.OW}, Order::channels_last);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(operations(s));
      if (s.N > 0) kernels<T>().forward(s, chosen, x.data(), weight.data(), epilogue, out);
    }
    return y;
  });
}

py::object backward_input(const py::object& grad_y_, const py::object& weight_, Pair input_size, Pair stride,
                          Pair padding, Pair dilation, int64_t groups, const std::optional<std::string>& algorithm) {
  return for_any_dtype(grad_y_, "conv2d_backward_input: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "conv2d_backward_input: grad_y", 4, Order::channels_last);
    const Array<T> weight(weight_, "conv2d_backward_input: weight", 4, Order::channels_last);
    check_size("conv2d_backward_input", "groups", groups, 1);
    const std::vector<int64_t> x{grad_y.size(0), checked_multiply(weight.size(1), groups), input_size[0],
                                 input_size[1]};
    const Conv2dShape s = conv2d_shape("conv2d_backward_input", x, weight.shape(), stride, padding, dilation, groups);
    require_shape(grad_y.shape(), {s.N, s.OC, s.OH, s.OW}, "conv2d_backward_input: grad_y");
    const Conv2dAlgorithm chosen = choose<T>("conv2d_backward_input", s, Conv2dDirection::backward_input, algorithm);
    NdArray grad_x = empty<T>({s.N, s.IC, s.IH, s.IW}, Order::channels_last);
    T* out = mutable_data<T>(grad_x);
    {
      ReleaseGil gil(operations(s));
      if (s.N > 0) kernels<T>().backward_input(s, chosen, grad_y.data(), weight.data(), out);
    }
    return grad_x;
  });
}

py::object backward_weight(const py::object& grad_y_, const py::object& x_, Pair kernel_size, Pair stride, Pair padding,
                           Pair dilation, int64_t groups, const std::optional<std::string>& algorithm) {
  return for_any_dtype(x_, "conv2d_backward_weight: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "conv2d_backward_weight: grad_y", 4, Order::channels_last);
    const Array<T> x(x_, "conv2d_backward_weight: x", 4, Order::channels_last);
    check_size("conv2d_backward_weight", "groups", groups, 1);
    const std::vector<int64_t> weight{grad_y.size(1), x.size(1) / groups, kernel_size[0], kernel_size[1]};
    const Conv2dShape s = conv2d_shape("conv2d_backward_weight", x.shape(), weight, stride, padding, dilation, groups);
    require_shape(grad_y.shape(), {s.N, s.OC, s.OH, s.OW}, "conv2d_backward_weight: grad_y");
    const Conv2dAlgorithm chosen = choose<T>("conv2d_backward_weight", s, Conv2dDirection::backward_weight, algorithm);
    NdArray grad_weight = empty<Compute<T>>(weight, Order::channels_last);
    Compute<T>* out = mutable_data<Compute<T>>(grad_weight);
    {
      ReleaseGil gil(operations(s));
      kernels<T>().backward_weight(s, chosen, grad_y.data(), x.data(), out);
    }
    return grad_weight;
  });
}

py::object backward_bias(const py::object& grad_y_) {
  return for_any_dtype(grad_y_, "conv2d_backward_bias: grad_y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> grad_y(grad_y_, "conv2d_backward_bias: grad_y", 4, Order::channels_last);
    NdArray grad_bias = empty<Compute<T>>({grad_y.size(1)});
    Compute<T>* out = mutable_data<Compute<T>>(grad_bias);
    {
      ReleaseGil gil(bytes_moved(static_cast<double>(grad_y.elements()) * sizeof(T)));
      kernels<T>().backward_bias(grad_y.size(0) * grad_y.size(2) * grad_y.size(3), grad_y.size(1), grad_y.data(), out);
    }
    return grad_bias;
  });
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &forward, "x"_a, "weight"_a, "bias"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
        "algorithm"_a = py::none(), "scale"_a = py::none(), "relu"_a = false, "residual"_a = py::none(),
        "relu_last"_a = false);
  m.def("conv2d_backward_input", &backward_input, "grad_y"_a, "weight"_a, "input_size"_a, "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a, "algorithm"_a = py::none());
  m.def("conv2d_backward_weight", &backward_weight, "grad_y"_a, "x"_a, "kernel_size"_a, "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a, "algorithm"_a = py::none());
  m.def("conv2d_backward_bias", &backward_bias, "grad_y"_a);
  const std::string name = kInexact.name;
  m.def(("get_" + name).c_str(), [] { return inexact_switch().load(); });
  m.def(("set_" + name).c_str(), [](bool enabled) { inexact_switch().store(enabled); }, "enabled"_a);
  m.def("conv2d_algorithms", &algorithms, "direction"_a, "x_shape"_a, "weight_shape"_a, "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a, "The algorithms that are legal for these sizes, first the one that the rule picks.");
}

}  // namespace atrous
