"""Demonstration: a small radiology department, its PACS, and a picture of the results."""
