"""DICOM in, strictly: headers, slices in order, pixels."""
