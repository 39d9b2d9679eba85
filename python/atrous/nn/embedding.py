"""A table of learned vectors."""

from __future__ import annotations

from ..autograd import no_grad
from ..checks import require
from ..ops import empty
from ..ops.embedding import row
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """A table of learned vectors, of which the input names some by their numbers.

    `weight` has shape (V, D), normal numbers at first.

    Args:
        num_embeddings, embedding_dim: V and D.
        padding_idx: a row that is 0 at first and gets no gradient; negative numbers count from the end.
        max_norm: rows that are used and have a larger norm are scaled to it, in `weight` itself.
        norm_type: the p of that norm.
        scale_grad_by_freq: divides a row's gradient by how often the input names it.
        sparse: not supported, as there are no sparse gradients.
    Raises:
        ValueError: padding_idx is out of range, or sparse.
    Example:
        >>> nn.Embedding(10, 3)(at.tensor([[1, 2, 4], [4, 3, 9]])).shape
        (2, 3, 3)

    Source:
        Bengio et al., A neural probabilistic language model, 2003.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        require(not sparse, "Embedding", "sparse is True; expected False, as there are no sparse gradients")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else row("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = Parameter(empty(*shape), requires_grad=not _freeze)
            self.reset_parameters()
        else:
            require(_weight.shape == shape, "Embedding", f"_weight has shape {_weight.shape}; expected {shape}")
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer around a table (V, D), whose memory it shares; with `freeze` it does not learn."""
        if not isinstance(embeddings, Tensor):
            raise TypeError(f"Embedding: embeddings is a {type(embeddings).__name__}; expected a Tensor")
        require(embeddings.ndim == 2, "Embedding", f"embeddings has shape {embeddings.shape}; expected (V, D)")
        V, D = embeddings.shape
        return cls(V, D, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def reset_parameters(self) -> None:
        """Draws new vectors, with 0 for the padding."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Numbers of any shape to (..., D)."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        """Sizes, and settings that are not the usual."""
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        own = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *own])
