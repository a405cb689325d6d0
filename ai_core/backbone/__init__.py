"""The frozen open_clip tower: loading, precisions, and batches that suit the machine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
