"""DICOM in and out: a strict reader on pydicom, and derived series that a PACS accepts."""
