"""The DICOM network and the disk: a durable Storage SCP and a retrying Storage SCU."""
