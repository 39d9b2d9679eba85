"""``torch.backends.mps``: Apple's GPUs, which atrous does not use."""

__all__ = ["is_available"]


def is_available() -> bool:
    """Whether tensors can go to "mps": never.

    Example:
        >>> is_available()
        False
    """
    return False
