"""What all records share: closed models, one line of JSON, and how an error is told."""

import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A closed model that is told as one line of JSON."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, protected_namespaces=())

    def line(self) -> str:
        """Return it as one line of ASCII; what JSON cannot write is null (a PSNR of equal images) or escaped (a path
        that is not UTF-8)."""
        return json.dumps(_finite(self.model_dump(by_alias=True, exclude=self._absent())), allow_nan=False)

    def _absent(self) -> set[str]:
        """Return the fields that are left out."""
        return set()


def _finite(value: Any) -> Any:
    """Return a value in which numbers that are infinite, or none, are None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ErrorRecord(Record):
    """Why a study was not filled."""

    code: str
    text: str
    hint: str
