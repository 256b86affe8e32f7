"""What was made, shown: one self-contained HTML file per result, and a page for a cohort."""

from mrimpute.report.cohort import write_cohort
from mrimpute.report.gather import Made, Shelves, likely_places, result_at, sidecars_at, sources_of
from mrimpute.report.picture import write_result_picture
from mrimpute.report.write import write_report

__all__ = [
    "Made",
    "Shelves",
    "likely_places",
    "result_at",
    "sidecars_at",
    "sources_of",
    "write_cohort",
    "write_report",
    "write_result_picture",
]
