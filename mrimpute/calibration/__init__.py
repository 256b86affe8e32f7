"""What complete studies of a scanner teach: regressions of any contrast on any others. Only `learn` and `apply` need
torch."""

from mrimpute.calibration.folder import builtin_site, choose_site, read_site, site_in_store, write_site
from mrimpute.calibration.gram import Gram
from mrimpute.calibration.site import FRAME, Curve, Figure, Member, Regressor, Site

__all__ = [
    "FRAME",
    "Curve",
    "Figure",
    "Gram",
    "Member",
    "Regressor",
    "Site",
    "builtin_site",
    "choose_site",
    "read_site",
    "site_in_store",
    "write_site",
]
