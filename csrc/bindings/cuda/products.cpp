// What _cuda/linear.py and _cuda/conv2d.py do before and after cuBLAS's products.
#include "bindings/array.h"
#include "bindings/conv2d_sizes.h"
#include "kernels/cuda/im2col.h"

namespace atrous {
namespace {

using namespace py::literals;

Conv2dShape shape_of(const char* function, const std::vector<int64_t>& x, Pair kernel_size, Pair stride, Pair padding,
                     Pair dilation, int64_t groups) {
  check_size(function, "groups", groups, 1);
  const std::vector<int64_t> weight{groups, x[1] / groups, kernel_size[0], kernel_size[1]};  // of any OC
  return conv2d_shape(function, x, weight, stride, padding, dilation, groups);
}

Pair output_size_of(const std::string& function, const std::vector<int64_t>& x, const std::vector<int64_t>& weight,
                    Pair stride, Pair padding, Pair dilation, int64_t groups) {
  require(x.size() == 4 && weight.size() == 4, function, ": x and weight must have 4 sizes");
  const Conv2dShape s = conv2d_shape(function.c_str(), x, weight, stride, padding, dilation, groups);
  return {s.OH, s.OW};
}

py::object columns_of(const py::object& x_, Pair kernel_size, Pair stride, Pair padding, Pair dilation,
                      int64_t groups) {
  return for_dtype(x_, "im2col: x", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> x(x_, "im2col: x", 4, Order::channels_last);
    const Conv2dShape s = shape_of("im2col", x.shape(), kernel_size, stride, padding, dilation, groups);
    NdArray columns = empty<T>({s.G, s.N * s.OH * s.OW, s.KH * s.KW * (s.IC / s.G)});
    im2col(s, x.data(), mutable_data<T>(columns));
    return columns;
  });
}

void image_of(const py::object& columns_, const py::object& grad_x_, Pair kernel_size, Pair stride, Pair padding,
              Pair dilation, int64_t groups) {
  for_dtype(columns_, "col2im: columns", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> columns(columns_, "col2im: columns", 3);
    const Array<T> checked(grad_x_, "col2im: grad_x", 4, Order::channels_last);
    auto grad_x = py::reinterpret_borrow<NdArray>(grad_x_);
    require(checked.data() == grad_x.data(), "col2im: grad_x is not channels-last");
    const Conv2dShape s = shape_of("col2im", checked.shape(), kernel_size, stride, padding, dilation, groups);
    require_shape(columns.shape(), {s.G, s.N * s.OH * s.OW, s.KH * s.KW * (s.IC / s.G)}, "col2im: columns");
    col2im(s, columns.data(), mutable_data<T>(grad_x));
    return py::none();
  });
}

void finish(const py::object& y_, const py::object& scale_, const py::object& bias_, bool relu,
            const py::object& residual_, bool relu_last) {
  for_dtype(y_, "epilogue: y", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> rows(y_, "epilogue: y", 2);
    auto y = py::reinterpret_borrow<NdArray>(y_);
    require(rows.data() == y.data(), "epilogue: y is not dense");
    const OptionalVector<T> scale(scale_, "epilogue: scale", rows.size(1)), bias(bias_, "epilogue: bias", rows.size(1));
    std::optional<Array<T>> residual;
    if (!residual_.is_none()) {
      residual.emplace(residual_, "epilogue: residual", 2);
      require_shape(residual->shape(), rows.shape(), "epilogue: residual");
    }
    apply_epilogue<T>(rows.size(0), rows.size(1),
                      {scale.data(), bias.data(), relu, residual ? residual->data() : nullptr, relu_last},
                      mutable_data<T>(y));
    return py::none();
  });
}

}  // namespace

void bind_products(py::module_& m) {
  m.def("conv2d_output_size", &output_size_of, "function"_a, "x_shape"_a, "weight_shape"_a, "stride"_a, "padding"_a,
        "dilation"_a, "groups"_a, "(OH, OW) of sizes that fit each other; a ValueError in the function's name if not.");
  m.def("im2col", &columns_of, "x"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
        "The windows of x as rows, (G, N * OH * OW, KH * KW * IC/G).");
  m.def("col2im", &image_of, "columns"_a, "grad_x"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
        "groups"_a, "Fills grad_x: each pixel with the sum over the rows that hold it.");
  m.def("epilogue", &finish, "y"_a, "scale"_a, "bias"_a, "relu"_a, "residual"_a, "relu_last"_a,
        "y = relu_last(relu(scale * y + bias) + residual) over the channels of (P, C), in place.");
}

}  // namespace atrous
