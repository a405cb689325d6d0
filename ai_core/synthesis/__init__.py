"""Synthetic anomalies from normal images alone (MediCLIP section 2.2)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
