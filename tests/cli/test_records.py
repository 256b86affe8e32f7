"""What --json prints, against the schemas that --json-schema prints."""

import json

import jsonschema
import pytest

from mrimpute.contrasts import BRATS_FOUR, Contrast

T1, T1C, T2, FLAIR = BRATS_FOUR
COMMANDS = ("fill", "scan", "evaluate", "verify", "calibrate", "doctor", "weights list", "weights show")


def schema_of(cli, command):
    done = cli(*command.split(), "--json-schema")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_schema_is_valid_closed_and_versioned(cli, command):
    schema = schema_of(cli, command)
    jsonschema.Draft202012Validator.check_schema(schema)
    name = schema["properties"]["schema"]["const"]
    assert name == f"mrimpute.{command.split()[0]}/1"
    ours = [one for one in (schema, *schema.get("$defs", {}).values()) if one["type"] == "object"]
    assert all(one["additionalProperties"] is False for one in ours)
    absent = {"error"} if command == "scan" else set()  # there only where the exit code is not 0
    assert set(schema["required"]) >= set(schema["properties"]) - {"schema"} - absent


def test_what_is_printed_has_its_schema(cli, make_study, tmp_path):
    study, bad = make_study(contrasts=(T1, T2)), make_study("bad", contrasts=(T1,))
    (bad / "bad_t1.nii.gz").write_bytes((bad / "bad-t1n.nii.gz").read_bytes())
    pair = (study / "case-t1n.nii.gz", study / "case-t1n.nii.gz")
    lines = {
        "scan": ("scan", study, bad, tmp_path / "absent", "--json"),
        "fill": ("fill", study, bad, "--dry-run", "--json", "--weights", "builtin"),
        "evaluate": ("evaluate", *pair, "--json"),
        "weights list": ("weights", "list", "--json"),
        "weights show": ("weights", "show", "cwdm-flair", "--json"),
        "doctor": ("doctor", "--json"),
    }
    for command, words in lines.items():
        schema = schema_of(cli, command)
        printed = cli(*words).stdout.splitlines()
        assert printed
        for line in printed:
            jsonschema.validate(json.loads(line), schema)


def test_equal_images_are_null_decibels_since_json_has_no_infinity(cli, make_study):
    image = make_study() / "case-t1n.nii.gz"
    record = json.loads(cli("evaluate", image, image, "--json").stdout, parse_constant=pytest.fail)
    assert record["scores"]["whole"]["psnr"] is None


def test_a_scan_tells_number_kind_plane_and_slices(cli, build):
    for number, contrast in enumerate((T1, FLAIR), 1):
        study = build(contrast, number=number).parent
    record = json.loads(cli("scan", study, "--json").stdout)
    assert [item["number"] for item in record["inputs"]] == [1, 2]
    assert all(item["slices"] == 9 and item["kind"] for item in record["inputs"])


def test_scan_keeps_to_80_columns_but_for_paths(cli, build):
    for number, contrast in enumerate((T1, FLAIR), 1):
        study = build(contrast, number=number).parent
    lines = cli("scan", study).stdout.splitlines()
    assert any(line.lstrip().startswith("series 1, ") or "series 1, " in line for line in lines)
    assert all(len(line) <= 80 for line in lines if "/" not in line)
    first = next(number for number, line in enumerate(lines) if "series 1, " in line)
    block = lines[first : first + 5]
    assert any(str(study) in line for line in block)


def test_the_list_of_weights_has_100_columns_and_show_the_rest(cli):
    listed = cli("weights", "list").stdout
    assert max(map(len, listed.splitlines())) <= 100
    assert "326" in listed
    shown = cli("weights", "show", "cwdm-flair-small").stdout
    assert "trained on" in shown and "cite" in shown and max(map(len, shown.splitlines()[1:])) <= 120
    done = cli("weights", "pull", "cwdm-flare")
    assert done.returncode == 2
    assert "did you mean cwdm-flair?" in done.stderr


def test_the_shell_is_offered_what_may_stand_there():
    from mrimpute.cli import common

    assert common.complete_contrast("t1") == ["t1", "t1c"]
    assert "cwdm-flair" in common.complete_weights("cwdm-f")
    assert common.complete_layout("br") == ["brats21", "brats23"]
    assert Contrast.CT in common.complete_contrast("")
