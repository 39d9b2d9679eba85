"""A network's answer for one batch: evaluation mode, no gradients. Also against ONNX Runtime, where it is installed."""

import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import atrous as at
from harness import Case, Outcome, run
from networks import NETWORKS, QUICK_NETWORKS, Network, compiled_or_none, images, ours, theirs, variants
from peers import torch

TOLERANCE = 1e-4  # of the largest output, after up to 27 layers


def cases(quick: bool) -> Iterator[Case]:
    """The networks of bench_training_step.py, on the same images."""
    for network in QUICK_NETWORKS if quick else NETWORKS:
        setup = partial(inference, network, compiled=not quick)
        yield Case(network.name, "inference", network.batch, "images/s", TOLERANCE, setup, "inference")


def inference(network: Network, compiled: bool) -> Outcome:
    """The truth is the network in float64, on our kernels: the others have to agree with it too."""

    def atrous(dtype: Any) -> Callable[[], Any]:
        model, x, _ = ours(network, dtype)
        return partial(at.no_grad()(model.eval()), x)

    calls = {"atrous": atrous(at.float32)}
    for name, layout, fast in variants(compiled):
        model, x, _ = theirs(network, layout)
        model.eval()
        if fast:
            model = compiled_or_none(name, model, torch().no_grad()(lambda fast, x=x: fast(x)))
        if model is not None:
            calls[name] = partial(torch().no_grad()(model), x)
    if session := onnx_session(network):
        calls["onnxruntime"] = lambda: session.run(None, {"x": images_once})
        images_once = images(network).copy(order="C")  # NCHW: its only layout
    return lambda: atrous(at.float64)(), calls


def onnx_session(network: Network) -> Any:
    """ONNX Runtime with the network exported from PyTorch, on as many threads; None where one of them is missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    if torch() is None:
        return None
    model, x, _ = theirs(network, "nchw")
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs no further package is the older one
            torch().onnx.export(model.eval(), (x,), file, input_names=["x"], dynamo=False)
    except Exception as error:  # the package onnx may be missing, or not know this PyTorch
        print(f"onnxruntime is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch().get_num_threads()
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv, peers=["pytorch", "onnxruntime"])


if __name__ == "__main__":
    sys.exit(main())
