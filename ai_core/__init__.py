"""The detector: MediCLIP on arrays and tensors, with no DICOM, database or configuration."""
