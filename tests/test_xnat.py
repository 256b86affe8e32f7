"""The command for XNAT's container service, against the fields that XNAT documents."""

import json
import shlex
from pathlib import Path

import jsonschema

from mrimpute.cli.app import app
from tests.freeze import options_of

FILE = Path(__file__).resolve().parent.parent / "examples" / "xnat" / "command.json"


def fields(needed, /, **known):
    return {"type": "object", "required": needed, "properties": known, "additionalProperties": False}


TEXT, FLAG = {"type": "string", "minLength": 1}, {"type": "boolean"}
SCHEMA = fields(
    ["name", "type", "image", "command-line", "schema-version"],
    **{
        "name": TEXT,
        "description": TEXT,
        "version": TEXT,
        "schema-version": {"const": "1.0"},
        "type": {"enum": ["docker", "docker-setup", "docker-wrapup"]},
        "image": TEXT,
        "override-entrypoint": FLAG,
        "command-line": TEXT,
        "mounts": {"type": "array", "items": fields(["name", "path", "writable"], name=TEXT, path=TEXT, writable=FLAG)},
        "inputs": {
            "type": "array",
            "items": fields(
                ["name", "type"],
                **{
                    "name": TEXT,
                    "description": TEXT,
                    "type": {"enum": ["string", "boolean", "number", "select-one"]},
                    "required": FLAG,
                    "default-value": {},
                    "replacement-key": TEXT,
                },
            ),
        },
        "outputs": {
            "type": "array",
            "items": fields(["name", "mount"], name=TEXT, description=TEXT, required=FLAG, mount=TEXT),
        },
        "xnat": {
            "type": "array",
            "items": fields(
                ["name", "contexts", "external-inputs", "output-handlers"],
                **{
                    "name": TEXT,
                    "description": TEXT,
                    "contexts": {"type": "array", "items": {"pattern": "^xnat:"}},
                    "external-inputs": {
                        "type": "array",
                        "items": fields(
                            ["name", "type"],
                            **{
                                "name": TEXT,
                                "description": TEXT,
                                "type": {"enum": ["Project", "Subject", "Session", "Scan", "Resource"]},
                                "required": FLAG,
                                "load-children": FLAG,
                                "provides-files-for-command-mount": TEXT,
                            },
                        ),
                    },
                    "derived-inputs": {"type": "array"},
                    "output-handlers": {
                        "type": "array",
                        "items": fields(
                            ["name", "accepts-command-output", "as-a-child-of", "type"],
                            **{
                                "name": TEXT,
                                "accepts-command-output": TEXT,
                                "as-a-child-of": TEXT,
                                "type": {"enum": ["Resource", "Assessor", "Scan"]},
                                "label": TEXT,
                            },
                        ),
                    },
                },
            ),
        },
    },
)
"""Written from the names in XNAT's documentation of commands."""


def test_the_command_has_the_fields_that_xnat_knows():
    jsonschema.validate(json.loads(FILE.read_text()), SCHEMA)


def test_its_parts_name_each_other_and_its_line_is_ours():
    command = json.loads(FILE.read_text())
    mounts = {mount["name"]: mount for mount in command["mounts"]}
    assert [mounts["in"]["writable"], mounts["out"]["writable"]] == [False, True]
    words = shlex.split(command["command-line"])
    assert words[:3] == ["mrimpute", "fill", mounts["in"]["path"]]
    assert command["override-entrypoint"] is True  # the image's is mrimpute already
    assert words[words.index("--out") + 1] == mounts["out"]["path"]
    assert {word for word in words if word.startswith("--")} <= set(options_of(app)["fill"])
    assert {one["replacement-key"] for one in command["inputs"]} == {word for word in words if word.startswith("#")}
    (wrapper,) = command["xnat"]
    (session,), (handler,) = wrapper["external-inputs"], wrapper["output-handlers"]
    assert session["provides-files-for-command-mount"] in mounts
    assert handler["as-a-child-of"] == session["name"]
    assert handler["accepts-command-output"] == command["outputs"][0]["name"]
