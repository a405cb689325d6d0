"""The demonstration: a small radiology department, its PACS, and a picture of what came back."""
