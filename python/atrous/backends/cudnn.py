"""``torch.backends.cudnn``: settings that scripts make, without effect. There is no cuDNN in atrous.

Example:
    >>> at.backends.cudnn.benchmark = True
    >>> at.backends.cudnn.deterministic = True
"""

__all__ = ["benchmark", "deterministic", "enabled"]

benchmark = False
deterministic = True
enabled = False
