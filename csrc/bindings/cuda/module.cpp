// The extension module atrous._cuda.compiled: an index. The families bind themselves as they do in _cpu, compiled for
// CuPy's arrays; linear is Python, around cuBLAS (python/atrous/_cuda/).
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace atrous {
void bind_runtime(py::module_& m);
void bind_capture(py::module_& m);
void bind_clip(py::module_& m);
void bind_values(py::module_& m);
void bind_products(py::module_& m);
void bind_activation(py::module_& m);
void bind_batch_norm(py::module_& m);
void bind_conv2d(py::module_& m);
void bind_cross_entropy(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_pool2d(py::module_& m);
void bind_upsample2d(py::module_& m);
void bind_random(py::module_& m);
void bind_adam(py::module_& m);

}  // namespace atrous

PYBIND11_MODULE(compiled, m) {
  m.doc() = "atrous's CUDA kernels. The same functions as atrous.reference, on CuPy's arrays.";
  atrous::bind_runtime(m);
  atrous::bind_capture(m);
  atrous::bind_clip(m);
  atrous::bind_values(m);
  atrous::bind_products(m);
  atrous::bind_activation(m);
  atrous::bind_batch_norm(m);
  atrous::bind_conv2d(m);
  atrous::bind_cross_entropy(m);
  atrous::bind_elementwise(m);
  atrous::bind_pool2d(m);
  atrous::bind_upsample2d(m);
  atrous::bind_random(m);
  atrous::bind_adam(m);
}
