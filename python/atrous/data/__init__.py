"""Data sets, and batches of them. Also importable as `atrous.utils.data`, PyTorch's name for it."""

from .balanced import ClassBalancedSampler, StratifiedBatchSampler
from .collate import default_collate, default_convert
from .dataloader import DataLoader
from .dataset import ConcatDataset, Dataset, IterableDataset, SkipSample, Subset, TensorDataset
from .folds import bootstrap, group_k_fold, k_fold, stratified_k_fold
from .prefetch import WorkerInfo, get_worker_info
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .split import grouped_split, random_split, stratified_split
from .statistics import Statistics, statistics

__all__ = [
    "BatchSampler",
    "ClassBalancedSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SkipSample",
    "Statistics",
    "StratifiedBatchSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "bootstrap",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "group_k_fold",
    "grouped_split",
    "k_fold",
    "random_split",
    "statistics",
    "stratified_k_fold",
    "stratified_split",
]
