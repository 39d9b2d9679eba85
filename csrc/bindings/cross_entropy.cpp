#include "kernels/cross_entropy.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
CrossEntropyKernels<T> kernels() {
  return at_level([](auto level) { return cross_entropy_kernels<decltype(level)::value, T>(); });
}

// x (N, C, H, W), and what has one value a pixel.
template <typename T>
struct Logits : Array<T> {
  Logits(const py::object& object, const char* name) : Array<T>(object, name, 4, Order::channels_last) {}
  CrossEntropyShape sizes() const { return {this->size(0) * this->size(2) * this->size(3), this->size(1)}; }
  std::vector<int64_t> pixels() const { return {this->size(0), this->size(2), this->size(3)}; }
  // An exponential costs about as much as moving ten numbers.
  double operations() const { return bytes_moved(10.0 * static_cast<double>(this->elements()) * sizeof(T)); }
};

// Class indices (N, H, W): everything that a kernel will use to read memory. A GPU's kernels ignore those out of range.
Array<int64_t> checked_target(const py::object& object, const char* name, const std::vector<int64_t>& pixels, int64_t C,
                              int64_t ignore_index) {
  Array<int64_t> target(object, name, 3);
  require_shape(target.shape(), pixels, name);
  if constexpr (kReadsValues) {
    const auto outside = find_outside(target.data(), target.elements(), C, ignore_index);
    require(!outside, name, " holds class ", outside.value_or(0), "; expected 0 to ", C - 1, ", or ignore_index ",
            ignore_index);
  }
  return target;
}

template <typename T>
Array<T> of_shape(const py::object& object, const char* name, const std::vector<int64_t>& shape) {
  Array<T> array(object, name, static_cast<int>(shape.size()), shape.size() == 4 ? Order::channels_last : Order::c);
  require_shape(array.shape(), shape, name);
  return array;
}

py::object forward(const py::object& x_, const py::object& target_, const py::object& weight_, int64_t ignore_index,
                   double label_smoothing) {
  return for_dtype(x_, "cross_entropy_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> x(x_, "cross_entropy_forward: x");
    const auto sizes = x.sizes();
    const auto target = checked_target(target_, "cross_entropy_forward: target", x.pixels(), sizes.C, ignore_index);
    const OptionalVector<T> weight(weight_, "cross_entropy_forward: weight", sizes.C);
    NdArray losses = empty<T>(x.pixels()), weights = empty<T>(x.pixels()), lse = empty<T>(x.pixels());
    T *losses_ = mutable_data<T>(losses), *weights_ = mutable_data<T>(weights), *lse_ = mutable_data<T>(lse);
    {
      ReleaseGil gil(x.operations());
      kernels<T>().forward(sizes, x.data(), target.data(), weight.data(), ignore_index, label_smoothing, losses_,
                           weights_, lse_);
    }
    return py::make_tuple(losses, weights, lse);
  });
}

py::object backward(const py::object& grad_losses_, const py::object& x_, const py::object& target_,
                    const py::object& lse_, const py::object& weight_, int64_t ignore_index, double label_smoothing) {
  return for_dtype(x_, "cross_entropy_backward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> x(x_, "cross_entropy_backward: x");
    const auto sizes = x.sizes();
    const auto target = checked_target(target_, "cross_entropy_backward: target", x.pixels(), sizes.C, ignore_index);
    const auto grad_losses = of_shape<T>(grad_losses_, "cross_entropy_backward: grad_losses", x.pixels());
    const auto lse = of_shape<T>(lse_, "cross_entropy_backward: lse", x.pixels());
    const OptionalVector<T> weight(weight_, "cross_entropy_backward: weight", sizes.C);
    NdArray grad_x = empty<T>(x.shape(), Order::channels_last);
    T* out = mutable_data<T>(grad_x);
    {
      ReleaseGil gil(x.operations());
      kernels<T>().backward(sizes, grad_losses.data(), x.data(), target.data(), lse.data(), weight.data(), ignore_index,
                            label_smoothing, out);
    }
    return grad_x;
  });
}

py::object soft_forward(const py::object& x_, const py::object& target_, const py::object& weight_,
                        double label_smoothing) {
  return for_dtype(x_, "cross_entropy_soft_forward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> x(x_, "cross_entropy_soft_forward: x");
    const auto target = of_shape<T>(target_, "cross_entropy_soft_forward: target", x.shape());
    const OptionalVector<T> weight(weight_, "cross_entropy_soft_forward: weight", x.size(1));
    NdArray losses = empty<T>(x.pixels()), lse = empty<T>(x.pixels());
    T *losses_ = mutable_data<T>(losses), *lse_ = mutable_data<T>(lse);
    {
      ReleaseGil gil(x.operations());
      kernels<T>().soft_forward(x.sizes(), x.data(), target.data(), weight.data(), label_smoothing, losses_, lse_);
    }
    return py::make_tuple(losses, lse);
  });
}

py::object soft_backward(const py::object& grad_losses_, const py::object& x_, const py::object& target_,
                         const py::object& lse_, const py::object& weight_, double label_smoothing) {
  return for_dtype(x_, "cross_entropy_soft_backward: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> x(x_, "cross_entropy_soft_backward: x");
    const auto target = of_shape<T>(target_, "cross_entropy_soft_backward: target", x.shape());
    const auto grad_losses = of_shape<T>(grad_losses_, "cross_entropy_soft_backward: grad_losses", x.pixels());
    const auto lse = of_shape<T>(lse_, "cross_entropy_soft_backward: lse", x.pixels());
    const OptionalVector<T> weight(weight_, "cross_entropy_soft_backward: weight", x.size(1));
    NdArray grad_x = empty<T>(x.shape(), Order::channels_last);
    T* out = mutable_data<T>(grad_x);
    {
      ReleaseGil gil(x.operations());
      kernels<T>().soft_backward(x.sizes(), grad_losses.data(), x.data(), target.data(), lse.data(), weight.data(),
                                 label_smoothing, out);
    }
    return grad_x;
  });
}

template <typename Run>
py::object softmax(const py::object& x_, const char* name, Run run) {
  return for_dtype(x_, name, [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> x(x_, name);
    NdArray y = empty<T>(x.shape(), Order::channels_last);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(x.operations());
      run(kernels<T>(), x.sizes(), x.data(), out);
    }
    return y;
  });
}

template <typename Run>
py::object softmax_gradient(const py::object& grad_y_, const char* grad_name, const py::object& y_, const char* name,
                            Run run) {
  return for_dtype(y_, name, [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Logits<T> y(y_, name);
    const auto grad_y = of_shape<T>(grad_y_, grad_name, y.shape());
    NdArray grad_x = empty<T>(y.shape(), Order::channels_last);
    T* out = mutable_data<T>(grad_x);
    {
      ReleaseGil gil(y.operations());
      run(kernels<T>(), y.sizes(), grad_y.data(), y.data(), out);
    }
    return grad_x;
  });
}

void bind_softmax(py::module_& m) {
  m.def(
      "log_softmax_forward",
      [](const py::object& x) {
        return softmax(x, "log_softmax_forward: x", [](auto k, auto... args) { k.log_softmax_forward(args...); });
      },
      "x"_a, "Over the channels of (N, C, H, W).");
  m.def(
      "log_softmax_backward",
      [](const py::object& grad_y, const py::object& y) {
        return softmax_gradient(grad_y, "log_softmax_backward: grad_y", y, "log_softmax_backward: y",
                                [](auto k, auto... args) { k.log_softmax_backward(args...); });
      },
      "grad_y"_a, "y"_a);
  m.def(
      "softmax_forward",
      [](const py::object& x) {
        return softmax(x, "softmax_forward: x", [](auto k, auto... args) { k.softmax_forward(args...); });
      },
      "x"_a, "Over the channels of (N, C, H, W).");
  m.def(
      "softmax_backward",
      [](const py::object& grad_y, const py::object& y) {
        return softmax_gradient(grad_y, "softmax_backward: grad_y", y, "softmax_backward: y",
                                [](auto k, auto... args) { k.softmax_backward(args...); });
      },
      "grad_y"_a, "y"_a);
}

}  // namespace

void bind_cross_entropy(py::module_& m) {
  m.def("cross_entropy_forward", &forward, "x"_a, "target"_a, "weight"_a, "ignore_index"_a, "label_smoothing"_a,
        "(losses, weights, lse), one value a pixel each, for logits (N, C, H, W) and class indices (N, H, W).");
  m.def("cross_entropy_backward", &backward, "grad_losses"_a, "x"_a, "target"_a, "lse"_a, "weight"_a, "ignore_index"_a,
        "label_smoothing"_a, "grad_x");
  m.def("cross_entropy_soft_forward", &soft_forward, "x"_a, "target"_a, "weight"_a, "label_smoothing"_a,
        "(losses, lse), one value a pixel each, for logits and target probabilities (N, C, H, W).");
  m.def("cross_entropy_soft_backward", &soft_backward, "grad_losses"_a, "x"_a, "target"_a, "lse"_a, "weight"_a,
        "label_smoothing"_a, "grad_x");
  bind_softmax(m);
}

}  // namespace atrous
