"""The CUDA backend as tests see it: on a GPU where there is one, else on the CPU where it was built so.

    cmake -S . -B build -DATROUS_CUDA_ON_CPU=ON && cmake --build build

Kernels are then those of csrc/kernels/cuda/, compiled as C++ with the cuda_runtime.h of this folder, and their arrays
those of the stand-in cupy beside it.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def load(folder: str = "cuda_on_cpu") -> Any:
    """``atrous._cuda`` for NumPy's arrays, or None where there is neither a GPU nor the build for tests."""
    built = sorted((HERE.parents[1] / "build" / folder).glob("compiled*.so"))
    if not on_a_gpu():
        if not built:
            return None
        sys.path.insert(0, str(HERE))  # whose cupy stands in for CuPy
        sys.modules.pop("cupy", None)
        spec = importlib.util.spec_from_file_location("atrous._cuda.compiled", built[0])
        compiled = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(compiled)
        sys.modules["atrous._cuda.compiled"] = compiled
    from atrous.verify import on_the_gpu

    return on_the_gpu()


def stand_in() -> Any:
    """The stand-in for CuPy under a name of its own, whatever else there is."""
    spec = importlib.util.spec_from_file_location("cupy_stand_in", HERE / "cupy" / "__init__.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_a_gpu() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return cupy.cuda.is_available()
