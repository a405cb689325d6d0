"""Tables and pictures of an evaluation, and the paper's figures to compare with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
