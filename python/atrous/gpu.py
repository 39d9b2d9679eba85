"""The GPU, once it is asked for: CuPy, whose arrays tensors on a GPU hold, and the kernels for them.

Nothing here is loaded before a tensor goes to "cuda", so that ``import atrous`` costs the same with a GPU and without.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

__all__ = ["check_device", "device", "holds", "load", "to_gpu", "to_host"]

OLDEST = 75  # compute capability times ten: Turing
NO_DEVICE = 100  # cudaErrorNoDevice
NO_GPU = "cuda: the driver finds no GPU on this machine; CUDA_VISIBLE_DEVICES may hide it"

cupy: Any = None  # set by load(), as the next
kernels: Any = None  # atrous._cuda
ndarray: Any = None  # cupy.ndarray: what every op compares the class of its arrays with
alone: device | None = None  # the GPU where there is one
matmul_precision = "highest"  # as set_matmul_precision() sets it


class device(str):
    """Where tensors are: "cpu" or "cuda", or "cuda:1"; PyTorch's name. It is that text, wherever one is expected.

    Args:
        type: "cpu", "cuda", either with an index; or the index of a GPU alone.
        index: the index apart.
    Raises:
        ValueError: it is none of these. (A GPU that is not there is an error when a tensor is to go to it.)
    Example:
        >>> there = device("cuda", 1)
        >>> there, there.type, there.index
        ('cuda:1', 'cuda', 1)
        >>> at.zeros(2).to(device("cpu")).device == device("cpu") == "cpu"
        True

    Differs from PyTorch: it equals the text.
    """

    def __new__(cls, type: Any, index: int | None = None) -> device:
        number = isinstance(type, int) and not isinstance(type, bool)
        name = f"cuda:{type}" if number else str(type)
        name = name if index is None else f"{name}:{index}"
        kind, colon, digits = name.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not digits.isdecimal()):
            raise ValueError(f"device: {name!r} does not exist; expected 'cpu' or 'cuda', with an index or without")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """ "cpu" or "cuda"."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number of the GPU; None where it was not given."""
        digits = self.partition(":")[2]
        return int(digits) if digits else None


CPU = device("cpu")
_gpu = functools.cache(lambda index: device("cuda", index))  # asked for by every op


def holds(array: Any) -> bool:
    """Whether this is a GPU's array.

    Example:
        >>> holds(np.zeros(2))
        False
    """
    return ndarray is not None and isinstance(array, ndarray)


def load() -> Any:
    """CuPy, if there is a GPU that atrous can use.

    Raises:
        RuntimeError: what is missing: CuPy, a driver new enough, a GPU, this build's kernels or those for this GPU.
    """
    global cupy, kernels, ndarray, alone
    if kernels is not None:
        return cupy
    try:
        found = importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError(
            f"cuda: CuPy cannot be imported ({error}); pip install 'cupy-cuda13x[ctk]', which is the extra 'cuda', or "
            "'cupy-cuda12x[ctk]' for CUDA 12"
        ) from error
    check_gpu(found)
    try:
        module = importlib.import_module("atrous._cuda")
    except ImportError as error:
        raise RuntimeError(
            f"cuda: this build of atrous has no CUDA kernels ({error}); build it from source by "
            "ATROUS_CUDA=ON pip install ."
        ) from error
    cupy, ndarray, kernels = found, found.ndarray, module  # kernels last: other threads look at them first
    alone = _gpu(0) if found.cuda.runtime.getDeviceCount() == 1 else None
    set_matmul_precision(matmul_precision)
    return cupy


def set_matmul_precision(precision: str) -> None:
    """ "highest", or another word that lets the kernels round float32 factors to TF32: now, or once they are loaded."""
    global matmul_precision
    matmul_precision = precision
    if kernels is not None:
        kernels.set_tf32(precision != "highest")


def available() -> bool:
    """Whether tensors can go to "cuda" here.

    Example:
        >>> available() in (True, False)
        True
    """
    try:
        load()
    except RuntimeError:
        return False
    return True


def describe() -> str:
    """The GPU in use and what it runs, or why there is none, in a line.

    Example:
        >>> describe() != ""
        True
    """
    try:
        runtime = load().cuda.runtime
    except RuntimeError as error:
        return str(error).removeprefix("cuda: ")
    properties = runtime.getDeviceProperties(runtime.getDevice())
    name, built = properties["name"].decode(), kernels.build_info()["architectures"]
    return f"{name}, driver of CUDA {_version(_driver(runtime))}, CuPy {cupy.__version__}, kernels for {built}"


def check_gpu(found: Any) -> None:
    """Raises a RuntimeError that says what is missing between here and a GPU."""
    runtime = found.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver, needed = _version(_driver(runtime)), _version(runtime.runtimeGetVersion())
        if driver == "0.0":
            raise RuntimeError("cuda: no NVIDIA driver is loaded on this machine") from error
        if getattr(error, "status", None) == NO_DEVICE:
            raise RuntimeError(NO_GPU) from error
        raise RuntimeError(
            f"cuda: the NVIDIA driver supports CUDA {driver}; the installed CuPy needs {needed}. Update the driver, or "
            f"install the CuPy of its version ({error})"
        ) from error
    if count == 0:
        raise RuntimeError(NO_GPU)
    properties = runtime.getDeviceProperties(runtime.getDevice())
    if 10 * properties["major"] + properties["minor"] < OLDEST:
        raise RuntimeError(
            f"cuda: {properties['name'].decode()} has compute capability {properties['major']}.{properties['minor']}; "
            f"atrous has code for {OLDEST / 10} and newer"
        )


def _version(number: int) -> str:
    """ "13.2" of CUDA's 13020."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver(runtime: Any) -> int:
    try:
        return int(runtime.driverGetVersion())
    except runtime.CUDARuntimeError:
        return 0


def check_device(device: Any, op: str) -> str:
    """ "cpu", or "cuda:N" of the device in use, from what a user wrote: None, "cpu", "cuda", "cuda:N".

    Raises:
        RuntimeError: a GPU that cannot be used, or another than the one in use.
        ValueError: anything else.
    Example:
        >>> check_device(None, "zeros")
        'cpu'
    """
    name = "cpu" if device is None else str(device)
    kind, _, index = name.partition(":")
    if kind == "cpu" and index in ("", "0"):
        return "cpu"
    if kind != "cuda" or not (index == "" or index.isdecimal()):
        raise ValueError(f"{op}: device {name!r} does not exist; expected 'cpu' or 'cuda'")
    runtime = load().cuda.runtime
    current, count = runtime.getDevice(), runtime.getDeviceCount()
    wanted = int(index) if index else current
    if wanted >= count:
        raise RuntimeError(f"{op}: device {name!r}, but there are {count} GPUs; expected an index below that")
    if wanted != current:
        raise RuntimeError(f"{op}: device {name!r} is not in use; choose it by at.cuda.set_device({wanted}) first")
    return f"cuda:{wanted}"


def device_of(array: Any) -> device:
    """Where an array lives.

    Example:
        >>> device_of(np.zeros(2))
        'cpu'
    """
    return (alone or _gpu(array.device.id)) if holds(array) else CPU


def pinned(array: np.ndarray) -> np.ndarray:
    """A copy in pinned host memory, from which copies to the GPU need not be waited for; in the same memory order."""
    axes = memory_order(array)
    in_memory = array.transpose(*axes)
    block = np.frombuffer(cupy.cuda.alloc_pinned_memory(max(array.nbytes, 1)), array.dtype, array.size)
    copy = block.reshape(in_memory.shape)
    copy[...] = in_memory
    return copy.transpose(*np.argsort(axes).tolist())


def require_one_device(op: str, names: Any, tensors: Any) -> None:
    """Raises a RuntimeError unless all of these tensors (or None) are on one device."""
    if kernels is None:
        return
    first = first_name = None
    for name, tensor in zip(names, tensors):  # noqa: B905
        if tensor is not None:
            if first is None:
                first, first_name = tensor.device, name
            elif tensor.device != first:
                raise RuntimeError(
                    f"{op}: {name.rstrip('?')} is on {tensor.device} and {first_name} on {first}; move one by to()"
                )


def moved(array: Any, device: str, non_blocking: bool = False) -> Any:
    """The array on "cpu" or "cuda:N", in the same memory order; itself where it is there already.

    Args:
        array: NumPy's or CuPy's.
        device: as ``check_device`` gives it.
        non_blocking: do not wait until a copy from pinned memory is done.
    """
    if device == "cpu":
        return to_host(array) if holds(array) else array
    return array if holds(array) else to_gpu(array, non_blocking)


def to_gpu(array: np.ndarray, non_blocking: bool = False) -> Any:
    """A copy on the GPU, of the same memory order where the array is dense."""
    axes = memory_order(array)
    in_memory = np.asarray(array.transpose(*axes), order="C")
    return cupy.asarray(in_memory, blocking=not non_blocking).transpose(*np.argsort(axes).tolist())


def to_host(array: Any) -> np.ndarray:
    """A copy in host memory, of the same memory order."""
    axes = memory_order(array)
    return cupy.asnumpy(array.transpose(*axes)).transpose(*np.argsort(axes).tolist())


def memory_order(array: Any) -> list[int]:
    """The axes from slowest to fastest.

    Example:
        >>> memory_order(np.zeros((2, 3, 4)).transpose(0, 2, 1))
        [0, 2, 1]
    """
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
