// What _cuda/linear.py does after cuBLAS's products.
#include "bindings/array.h"
#include "kernels/cuda/epilogue.h"

namespace atrous {
namespace {

using namespace py::literals;

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
  m.def("epilogue", &finish, "y"_a, "scale"_a, "bias"_a, "relu"_a, "residual"_a, "relu_last"_a,
        "y = relu_last(relu(scale * y + bias) + residual) over the channels of (P, C), in place.");
}

}  // namespace atrous
