"""What was made, shown: one self-contained HTML file per result, and a page for a cohort."""

from mrimpute.report.cohort import write_cohort
from mrimpute.report.gather import Made, likely_places, result_at, sidecars_at
from mrimpute.report.picture import write_result_picture
from mrimpute.report.write import place_of_report, write_report

__all__ = [
    "Made",
    "likely_places",
    "place_of_report",
    "result_at",
    "sidecars_at",
    "write_cohort",
    "write_report",
    "write_result_picture",
]
