"""`python -m mediclip_dicom` is the console script."""

from mediclip_dicom.cli import main

if __name__ == "__main__":
    main()
