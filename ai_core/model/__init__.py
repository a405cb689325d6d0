"""The model: prompts (Eq. 1), anomaly map (Eq. 2), losses (Eq. 3) and patch bank."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
