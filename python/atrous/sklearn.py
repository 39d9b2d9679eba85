"""scikit-learn's face: a convolutional network as a classifier for its pipelines, searches and cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"atrous.sklearn: scikit-learn 1.6 or newer cannot be imported ({error}); pip install 'atrous[sklearn]'"
    ) from error

from .checks import require
from .data import DataLoader, TensorDataset
from .grad_mode import enable_grad, no_grad
from .models import build
from .nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from .nn import functional as F
from .ops import from_numpy
from .optim import AdamW
from .optim.lr_scheduler import CosineAnnealingLR
from .random import Generator, using
from .tensor import Tensor
from .training import Trainer

__all__ = ["CNNClassifier", "small_cnn"]

BLOCK = 256  # samples scaled, or predicted, at a time
CHANNELS = (1, 3, 4)  # of usual images: grey, RGB, RGBA

Shape = tuple[int, int, int]  # (C, H, W)


def small_cnn(num_classes: int, in_channels: int = 1) -> Module:
    """A small network for small images of any size: three 3×3 convolutions, and a linear layer on a map of 4×4.

    conv (16) → conv (32) → max-pool 3, stride 2 → conv (64) → average onto 4×4 → linear; batch-norm and relu after each
    convolution. The map of 4×4 keeps where in the image something is.

    Args:
        num_classes: logits an image.
        in_channels: channels of an image.
    Example:
        >>> model = small_cnn(num_classes=10)
        >>> model(at.zeros(2, 1, 8, 8)).shape, sum(p.numel() for p in model.parameters())
        ((2, 10), 33658)
    """

    def convolution(IC: int, OC: int) -> list[Module]:
        return [Conv2d(IC, OC, 3, padding=1, bias=False), BatchNorm2d(OC), ReLU()]

    layers = [*convolution(in_channels, 16), *convolution(16, 32), MaxPool2d(3, 2, 1), *convolution(32, 64)]
    return Sequential(*layers, AdaptiveAvgPool2d(4), Flatten(), Linear(64 * 4 * 4, num_classes))


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """A convolutional network that scikit-learn trains and judges like any other classifier.

    X is images (N, H, W) or (N, C, H, W), or a matrix (N, features) with an image in each row; labels are of any kind.
    X is standardised with the training data's statistics, so that its scale does not matter: each channel of images,
    each column of one-row images. Training is AdamW with a rate that falls to zero along a cosine, so that there is no
    early stopping to set up. Randomness comes from ``random_state`` alone: an int gives the same bits every time, on
    any number of threads, and atrous's default generator is left as it is.

    Args:
        model: "small" for `small_cnn`; another name that `models.build` takes; or a function of ``num_classes`` and
            ``in_channels``, such as a Module class, that makes a network with one logit a class.
        image_shape: (H, W) or (C, H, W) of the image in a matrix's row. None: a square number of features, 16 or more,
            is a square grey image, and anything else an image of one row.
        epochs: how often all images are gone through.
        batch_size: images a step. A last batch of one image is left out, as batch-norm needs two.
        learning_rate: of the first step.
        weight_decay: of AdamW; more of it is a smoother fit.
        random_state: an int, a RandomState, or None for new numbers at each fit, as everywhere in scikit-learn.
        verbose: show a line for each epoch.
    Attributes:
        classes_: the labels, sorted.
        n_features_in_: the numbers in an image.
        image_shape_: (C, H, W).
        mean_, scale_: what X is standardised with.
        network_: the trained Module, in eval mode.
        loss_curve_: the mean training loss of each epoch.
    Example:
        >>> images, labels = datasets.digits()
        >>> classifier = CNNClassifier(epochs=2, random_state=0).fit(images[:500], labels[:500])
        >>> classifier.score(images[500:], labels[500:]) > 0.8
        True
    """

    def __init__(
        self,
        model: str | Callable[..., Module] = "small",
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")  # what `fit` sets last

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CNNClassifier:
        """Trains a new network on images and their labels.

        Args:
            X: images, as the class describes.
            y: labels (N,).
            sample_weight: (N,), factors of the samples' losses; those of weight 0 are left out altogether.
        Raises:
            ValueError: X, y or a setting is out of range, or y has one class only.
            NonFiniteLoss: the loss is no longer a number.
        """
        self._check_settings()
        self.__dict__.pop("network_", None)  # whoever fails from here on is not fitted
        X, shape = as_rows(X)
        X, y = validate_data(self, X, y, dtype="numeric")
        check_classification_targets(y)
        weights = self._weights(sample_weight, X)
        if weights is not None:
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        self.image_shape_ = self._resolve(X.shape[1], shape)
        self.classes_, codes = np.unique(y, return_inverse=True)
        K = len(self.classes_)
        require(K > 1, "CNNClassifier", f"y has one class, {self.classes_.tolist()[0]!r}; expected two or more")
        self.mean_, self.scale_ = statistics(X, self.image_shape_)
        images = np.concatenate(list(self._images(X)))
        factors = np.ones(len(y)) if weights is None else weights / weights.mean()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with enable_grad(), using(Generator(seed)):
            samples = TensorDataset(*map(from_numpy, (images, codes.astype(np.int64), factors.astype(np.float32))))
            network, self.loss_curve_ = self._train(samples, K)
        network.zero_grad()
        self.network_ = network.eval()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities (N, classes) of the classes in the order of ``classes_``, float64.

        Raises:
            NotFittedError: `fit` comes first.
            ValueError: X does not fit the training data.
        """
        check_is_fitted(self)
        X, shape = as_rows(X)
        X = validate_data(self, X, dtype="numeric", reset=False)
        if shape not in (None, self.image_shape_):
            raise ValueError(f"CNNClassifier: X has images {shape}; expected {self.image_shape_} as in fit")
        with no_grad():
            logits = [self.network_(from_numpy(block)).double() for block in self._images(X)]
            chances = np.concatenate([F.softmax(block, dim=1).numpy() for block in logits])
        require(np.isfinite(chances).all(), "CNNClassifier", "X is too far from the training data for float32")
        return chances

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class (N,) of each image; raises what `predict_proba` does."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(axis=1)]

    def _check_settings(self) -> None:
        """Before any work, as scikit-learn wants it neither in the constructor nor in set_params."""
        for name in ("epochs", "batch_size"):
            value: Any = getattr(self, name)
            fits = isinstance(value, Integral) and value >= 1  # type: ignore[operator]
            require(fits, "CNNClassifier", f"{name} is {value!r}; expected an int, 1 or more")
        rate, decay = self.learning_rate, self.weight_decay
        fits = isinstance(rate, Real) and isinstance(decay, Real) and 0 < rate < math.inf and 0 <= decay < math.inf
        asked = "expected a number above 0, and one of 0 or more"
        require(fits, "CNNClassifier", f"learning_rate is {rate!r}, weight_decay {decay!r}; {asked}")
        if isinstance(self.model, Module) or not (isinstance(self.model, str) or callable(self.model)):
            raise TypeError(f"CNNClassifier: model is a {type(self.model).__name__}; expected a name or a function")

    def _weights(self, sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        require((weights >= 0).all(), "CNNClassifier", f"sample_weight has {weights.min()}; expected 0 or more")
        require(weights.any(), "CNNClassifier", "sample_weight is zero for all samples; expected some above")
        return weights

    def _resolve(self, features: int, shape: Shape | None) -> Shape:
        """The shape of an image: the given one, that of X, or a guess from the number of features."""
        if self.image_shape is not None:
            sizes = tuple(self.image_shape) if isinstance(self.image_shape, (tuple, list)) else ()
            fits = len(sizes) in (2, 3) and all(isinstance(size, Integral) and size >= 1 for size in sizes)
            require(fits, "CNNClassifier", f"image_shape is {self.image_shape!r}; expected (H, W) or (C, H, W)")
            C, H, W = map(int, sizes if len(sizes) == 3 else (1, *sizes))
            found = f"{features} features" if shape is None else f"images {shape}"
            fits = features == C * H * W and shape in (None, (C, H, W))
            require(fits, "CNNClassifier", f"X has {found}; expected image_shape {(C, H, W)}")
            return C, H, W
        if shape is not None:
            C, H, W = shape
            hint = f"X.transpose(0, 3, 1, 2), or image_shape={shape} if there are {C} channels indeed"
            last = W in CHANNELS and C not in CHANNELS
            require(not last, "CNNClassifier", f"X has images {shape}, which look like channels last; {hint}")
            return shape
        side = math.isqrt(features)
        return (1, side, side) if features >= 16 and side * side == features else (1, 1, features)

    def _images(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Rows as standardised images (n, C, H, W), float32, a block at a time."""
        for images in blocks(X, self.image_shape_):
            with np.errstate(over="ignore"):  # what is infinite then is refused by its probabilities
                yield ((images - self.mean_) / self.scale_).astype(np.float32)

    def _train(self, samples: TensorDataset, K: int) -> tuple[Module, list[float]]:
        """A new network trained on (image, class, weight), and the losses of its epochs."""
        C, N, B, epochs = self.image_shape_[0], len(samples), int(self.batch_size), int(self.epochs)
        if isinstance(self.model, str):
            network = small_cnn(K, C) if self.model == "small" else build(self.model, K, C)
        else:
            network = self.model(num_classes=K, in_channels=C)
        if not isinstance(network, Module):
            raise TypeError(f"CNNClassifier: model makes a {type(network).__name__}; expected an nn.Module")
        with no_grad():
            found = tuple(network.eval()(samples[[0]][0]).shape)
        require(found == (1, K), "CNNClassifier", f"model gives shape {found} for an image; expected {(1, K)}")
        optimizer = AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        loader = DataLoader(samples, batch_size=B, shuffle=True, drop_last=N % B == 1 and N > B)
        schedule = CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
        trainer = WeightedTrainer(network, optimizer, weighted_loss, scheduler=schedule, schedule_batches=True)
        history = trainer.fit(loader, epochs=epochs, progress=bool(self.verbose))
        return network, [row["train_loss"] for row in history]


class WeightedTrainer(Trainer):
    """A `Trainer` on batches of (images, classes, weights)."""

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        images, classes, weights = batch
        return self.model(images), (classes, weights)


def weighted_loss(logits: Tensor, target: Any) -> Tensor:
    """The mean of the samples' cross-entropies times their weights; the target is (classes, weights).

    Example:
        >>> round(weighted_loss(at.zeros(2, 4), (at.tensor([0, 3]), at.tensor([0.5, 1.5]))).item(), 4)
        1.3863
    """
    classes, weights = target
    return (F.cross_entropy(logits, classes, reduction="none") * weights).mean()


def as_rows(X: Any) -> tuple[Any, Shape | None]:
    """Images as rows, and their shape; whatever is no images passes as it is, with None, for scikit-learn's checks.

    Example:
        >>> rows, shape = as_rows(np.zeros((5, 3, 8, 8)))
        >>> rows.shape, shape
        ((5, 192), (3, 8, 8))
    """
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    if getattr(X, "ndim", 2) < 3:
        return X, None
    X = np.asarray(X)
    require(X.ndim < 5, "CNNClassifier", f"X has shape {X.shape}; expected (N, features), (N, H, W) or (N, C, H, W)")
    N, C, H, W = X.shape if X.ndim == 4 else (X.shape[0], 1, *X.shape[1:])
    return X.reshape(N, C * H * W), (C, H, W)


def blocks(X: np.ndarray, shape: Shape) -> Iterator[np.ndarray]:
    """Rows as images (n, C, H, W), a block at a time: a copy of all in float64 would be large."""
    for start in range(0, len(X), BLOCK):
        yield X[start : start + BLOCK].reshape(-1, *shape)


def statistics(X: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float64, of each channel (C, 1, 1) or, of one-row grey images, column (1, 1, W).

    Where all values are the same the deviation is given as 1.

    Example:
        >>> mean, scale = statistics(np.array([[1, 7], [3, 7]]), (1, 1, 2))
        >>> mean.tolist(), scale.tolist()
        ([[[2.0, 7.0]]], [[[1.0, 1.0]]])
    """
    axes = (0,) if shape[:2] == (1, 1) else (0, 2, 3)
    over: dict[str, Any] = {"axis": axes, "keepdims": True}
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.sum([block.sum(dtype=np.float64, **over) for block in blocks(X, shape)], axis=0)
        count = X.size // mean.size
        mean = mean / count
        squares = np.sum([((block - mean) ** 2).sum(**over) for block in blocks(X, shape)], axis=0)
    scale = np.sqrt(squares / count)
    require(np.isfinite(scale).all(), "CNNClassifier", "X has values too large to be standardised")
    least = np.min([block.min(**over) for block in blocks(X, shape)], axis=0)
    most = np.max([block.max(**over) for block in blocks(X, shape)], axis=0)
    scale[(least == most) | (scale == 0)] = 1  # rounding alone may give constant values a deviation
    return mean[0], scale[0]
