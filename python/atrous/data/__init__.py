"""Data sets, and batches of them. Also importable as `atrous.utils.data`, PyTorch's name for it."""

from .dataloader import DataLoader, default_collate
from .dataset import Dataset, Subset, TensorDataset
from .split import stratified_split

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "default_collate", "stratified_split"]
