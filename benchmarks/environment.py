"""The environments that the measuring processes run in: PyTorch as it comes or tuned, and all at one CPU level."""

import os

# malloc keeps its pages, so that PyTorch pays no page faults for its outputs; the default is what its users have.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


def _level(isa: str, onednn: str, aten: str, mkl: str) -> dict[str, str]:
    peers = {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl}
    return {"ATROUS_ISA": isa, **peers}


# What `--isa` sets. At the lowest level PyTorch's own kernels are SSE2, oneDNN and MKL have nothing below SSE4.
LEVELS = {
    "x86-64": _level("x86-64", "SSE41", "default", "SSE4_2"),
    "x86-64-v3": _level("x86-64-v3", "AVX2", "avx2", "AVX2"),
    "x86-64-v4": _level("x86-64-v4", "AVX512_CORE", "avx512", "AVX512"),
}


def environments(threads: int, isa: str = "") -> tuple[dict[str, str], dict[str, str]]:
    """The two workers' environments. OpenBLAS chooses its own kernels: a forced core type can halve NumPy's GEMM."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "MALLOC_"))}
    kept |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    kept |= LEVELS.get(isa, {})
    return kept, kept | TUNED
