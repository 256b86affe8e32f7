"""Options + study + settings → Request: every wish checked and resolved before a voxel is read."""

from mrimpute.request.options import Options
from mrimpute.request.order import Order, engine_of, fingerprint_of, order_of, precision_of, sampling_of
from mrimpute.request.study import Request, check_inputs, make_request, writes_bids

__all__ = [
    "Options",
    "Order",
    "Request",
    "check_inputs",
    "engine_of",
    "fingerprint_of",
    "make_request",
    "order_of",
    "precision_of",
    "sampling_of",
    "writes_bids",
]
