"""Templates → one HTML file that asks nothing of anybody: styles and scripts inside, a policy that forbids the rest."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "mrimpute.report/1"
"""What a page of ours says in its head; only such a page is replaced."""


def page(template: str, scripts: tuple[str, ...], **values: Any) -> bytes:
    """Return a page; every value is escaped.

    Args:
        template: its file.
        scripts: files of JavaScript, which run in this order.
        values: what the template shows.
    """
    from markupsafe import Markup

    style, script = _text("style.css"), "\n".join(_text(name) for name in scripts)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    built = {"policy": policy, "style": Markup(style), "script": Markup(script), "mark": MARK}
    return (_environment().get_template(template).render(**built, **values) + "\n").encode()


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("mrimpute.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _text(name: str) -> str:
    return resources.files("mrimpute.report").joinpath("templates", name).read_text("utf-8").strip()


def _digest(text: str) -> str:
    """Return the hash by which a policy allows one inline style or script, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
