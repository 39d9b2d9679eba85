#include "kernels/activation.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
ActivationKernels<T> kernels() {
  return at_level([](auto level) { return activation_kernels<decltype(level)::value, T>(); });
}

// run(kernels, n, x, y) fills the output, which has the strides of x where x is dense.
template <typename Run>
py::object forward(const py::object& x_, const std::string& name, Run run) {
  return for_any_dtype(x_, name.c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Axes axes = memory_order(x_);
    const Array<T> x(x_, name.c_str(), axes);
    NdArray y = empty<T>(x.shape(), axes);
    T* out = mutable_data<T>(y);
    {
      ReleaseGil gil(bytes_moved(2.0 * static_cast<double>(x.elements()) * sizeof(T)));
      run(kernels<T>(), x.elements(), x.data(), out);
    }
    return y;
  });
}

// run(kernels, n, grad_y, saved, grad_x) fills the output, which has the strides of what the forward pass saved.
template <typename Run>
py::object backward(const py::object& grad_y_, const std::string& grad_name, const py::object& saved_,
                    const std::string& saved_name, Run run) {
  return for_any_dtype(saved_, saved_name.c_str(), [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Axes axes = memory_order(saved_);
    const Array<T> saved(saved_, saved_name.c_str(), axes), grad_y(grad_y_, grad_name.c_str(), axes);
    require_shape(grad_y.shape(), saved.shape(), grad_name.c_str());
    NdArray grad_x = empty<T>(saved.shape(), axes);
    T* out = mutable_data<T>(grad_x);
    {
      ReleaseGil gil(bytes_moved(3.0 * static_cast<double>(saved.elements()) * sizeof(T)));
      run(kernels<T>(), saved.elements(), grad_y.data(), saved.data(), out);
    }
    return grad_x;
  });
}

// An activation without parameters, whose backward takes y. The two functions pick its kernels out of the table.
template <typename Forward, typename Backward>
void bind(py::module_& m, const std::string& op, Forward pick_forward, Backward pick_backward) {
  m.def((op + "_forward").c_str(),
        [name = op + "_forward: x", pick_forward](const py::object& x) {
          return forward(x, name, [&](const auto& k, auto... args) { pick_forward(k)(args...); });
        },
        "x"_a, "Elementwise; the strides of x where it is dense.");
  m.def((op + "_backward").c_str(),
        [grad_name = op + "_backward: grad_y", y_name = op + "_backward: y", pick_backward](const py::object& grad_y,
                                                                                            const py::object& y) {
          return backward(grad_y, grad_name, y, y_name,
                          [&](const auto& k, auto... args) { pick_backward(k)(args...); });
        },
        "grad_y"_a, "y"_a, "grad_x, with the strides of y where it is dense.");
}

}  // namespace

void bind_activation(py::module_& m) {
  bind(m, "relu", [](auto& k) { return k.relu_forward; }, [](auto& k) { return k.relu_backward; });
  bind(m, "sigmoid", [](auto& k) { return k.sigmoid_forward; }, [](auto& k) { return k.sigmoid_backward; });
  bind(m, "tanh", [](auto& k) { return k.tanh_forward; }, [](auto& k) { return k.tanh_backward; });
  m.def(
      "leaky_relu_forward",
      [](const py::object& x_, double negative_slope) {
        return forward(x_, "leaky_relu_forward: x", [&](const auto& k, int64_t n, const auto* x, auto* y) {
          k.leaky_relu_forward(n, x, negative_slope, y);
        });
      },
      "x"_a, "negative_slope"_a, "Elementwise; the strides of x where it is dense.");
  m.def(
      "leaky_relu_backward",
      [](const py::object& grad_y_, const py::object& x_, double negative_slope) {
        return backward(grad_y_, "leaky_relu_backward: grad_y", x_, "leaky_relu_backward: x",
                        [&](const auto& k, int64_t n, const auto* grad_y, const auto* x, auto* grad_x) {
                          k.leaky_relu_backward(n, grad_y, x, negative_slope, grad_x);
                        });
      },
      "grad_y"_a, "x"_a, "negative_slope"_a, "grad_x, with the strides of x where it is dense.");
}

}  // namespace atrous
