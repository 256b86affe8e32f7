"""Derived DICOM series."""
