"""Studies: completion, intake, scoring, readings and retention.

Names are loaded when they are first used: reading a result needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
