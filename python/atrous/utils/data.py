"""`atrous.data` under PyTorch's name: ``from atrous.utils.data import DataLoader``."""

from ..data import DataLoader, Dataset, Subset, TensorDataset, default_collate, stratified_split

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "default_collate", "stratified_split"]
