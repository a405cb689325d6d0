"""The detector: MediCLIP on arrays and tensors, with no DICOM, database or configuration.

Importing this package imports no torch; the names that need it load it at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
