import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

from mrimpute import device
from mrimpute.contrasts import Contrast
from mrimpute.errors import UsageError
from mrimpute.registry import read_checkpoint_folder
from mrimpute.request import order
from mrimpute.request.order import LARGE_NETWORK

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("word", "where", "measured", "features", "chosen"),
    [
        ("auto", "cpu", True, {"avx2", "avx512_bf16"}, "bfloat16"),
        ("auto", "cpu", True, {"amx_bf16"}, "bfloat16"),
        ("auto", "cpu", True, {"avx2", "avx512f"}, "float32"),
        ("auto", "cpu", False, {"avx512_bf16"}, "float32"),
        ("auto", "cuda", True, {"avx512_bf16"}, "float32"),
        ("float32", "cpu", True, {"avx512_bf16"}, "float32"),
        ("bfloat16", "cpu", False, set(), "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_it_was_measured_on_processors_that_have_it(
    monkeypatch, word, where, measured, features, chosen
):
    monkeypatch.setattr(device, "processor_features", lambda: features)
    assert device.choose_precision(word, torch.device(where), measured) == chosen
    assert device.dtype_of(chosen) == getattr(torch, chosen)


@pytest.mark.parametrize(
    ("generator", "origin", "size", "precision", "engine"),
    [
        ("cwdm", "builtin", 1, "bfloat16", "torch"),  # it takes less time than its conversion
        ("syndiff", "builtin", 1, "bfloat16", "torch"),
        ("aldm", "builtin", 1, "float32", "torch"),
        ("cwdm", "trained", LARGE_NETWORK - 1, "float32", "torch"),
        ("cwdm", "trained", LARGE_NETWORK, "bfloat16", "openvino"),
        ("syndiff", "hub", LARGE_NETWORK, "bfloat16", "torch"),
        ("aldm", "hub", LARGE_NETWORK, "float32", "torch"),
    ],
)
def test_auto_goes_by_what_was_measured_of_a_checkpoint(
    monkeypatch, tmp_path, tiny_weights, generator, origin, size, precision, engine
):
    monkeypatch.setattr(device, "processor_features", lambda: {"avx512_bf16", "amx_bf16"})
    monkeypatch.setattr(device, "has_openvino", lambda: True)
    (tmp_path / "weights").touch()
    os.truncate(tmp_path / "weights", size)
    tiny = read_checkpoint_folder(tiny_weights[Contrast.FLAIR])
    told = tiny.record.model_copy(update={"generator": generator, "origin": origin})
    one = replace(tiny, path=tmp_path / "weights", record=told)
    assert (order.precision_of(one, "auto", CPU), order.engine_of(one, "auto", CPU)) == (precision, engine)


@pytest.mark.parametrize(
    ("word", "precision", "features", "installed", "chosen"),
    [
        ("auto", "bfloat16", {"amx_bf16", "avx512_bf16"}, True, "openvino"),
        ("auto", "bfloat16", {"amx_bf16", "avx512_bf16"}, False, "torch"),
        ("auto", "bfloat16", {"avx512_bf16"}, True, "torch"),
        ("auto", "float32", {"amx_bf16"}, True, "torch"),
        ("bfloat16", "bfloat16", {"amx_bf16"}, True, "torch"),
    ],
)
def test_auto_takes_openvino_where_it_is_installed_beside_a_matrix_unit(
    monkeypatch, word, precision, features, installed, chosen
):
    monkeypatch.setattr(device, "processor_features", lambda: features)
    monkeypatch.setattr(device, "has_openvino", lambda: installed)
    assert device.choose_engine(word, precision) == chosen


def test_another_word_is_refused():
    with pytest.raises(UsageError, match="unknown precision 'half'"):
        device.choose_precision("half", CPU, True)


@pytest.mark.parametrize(
    "text", ["flags\t\t: fpu avx512_bf16 amx_bf16\nflags : other\n", "Features : avx512_bf16 amx_bf16 fpu\n"]
)
def test_features_are_those_of_the_first_processor(monkeypatch, text):
    monkeypatch.setattr(device, "_read", lambda _path: f"processor\t: 0\n{text}")
    assert device.processor_features() == {"fpu", "avx512_bf16", "amx_bf16"}


def test_what_auto_chose_is_in_the_recipe(cli, make_study, tiny_weights, monkeypatch):
    monkeypatch.setattr(device, "processor_features", lambda: {"avx512_bf16"})
    monkeypatch.setattr(order, "LARGE_NETWORK", 1)
    line = ("fill", make_study(), "--weights", tiny_weights[Contrast.FLAIR], "--json")
    assert '"precision": "bfloat16"' in cli(*line).stdout
    assert cli(*line).returncode == 0  # the same recipe: skipped
    assert cli(*line, "--precision", "float32").returncode == 6
    monkeypatch.setattr(device, "processor_features", set)
    elsewhere = json.loads(cli(*line).stdout)  # a node that would have chosen float32
    assert (elsewhere["status"], elsewhere["recipe"]["precision"]) == ("skipped", "bfloat16")
    assert cli(*line, "--precision", "float32").returncode == 6


@pytest.mark.parametrize(("given", "read"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_else(given, read):
    asked = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    line = [sys.executable, "-m", "mrimpute", "doctor"]
    done = subprocess.run(line, env=asked | given | {"OMP_DISPLAY_ENV": "TRUE"}, capture_output=True, text=True)
    assert f"OMP_WAIT_POLICY = '{read}'" in done.stderr


def test_work_side_by_side_comes_back_in_order_and_tells_the_first_failure():
    met = threading.Barrier(2, timeout=20)  # that many work at the same time, if the job has the CPUs
    together = device.allowed_cpus() > 1

    def work(item):
        if together:
            met.wait()
        if item in (2, 3):
            raise ValueError(item)
        return -item

    assert device.side_by_side(work, [5, 4]) == [-5, -4]
    with pytest.raises(ValueError, match="2"):
        device.side_by_side(work, [4, 2, 3, 5])


def test_each_piece_of_work_of_pytorch_has_one_thread(two_threads, monkeypatch):
    met = threading.Barrier(2, timeout=20)  # two are done at a time

    def work(item):
        met.wait()
        if item == 3:
            raise ValueError(item)
        return item, torch.get_num_threads()

    told = []
    assert device.one_thread_each(work, [5, 4, 2, 1], 1, told.append) == [(5, 1), (4, 1), (2, 1), (1, 1)] == told
    with pytest.raises(ValueError, match="3"):
        device.one_thread_each(work, [3, 6], 1)
    monkeypatch.setattr(device, "free_memory", lambda: 3 * 2**30)  # there is no room for two

    def alone(item):
        return item, torch.get_num_threads(), threading.get_ident()

    here = threading.get_ident()
    assert device.one_thread_each(alone, [5, 4], 2**31) == [(5, 1, here), (4, 1, here)]
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), later) == (2, [2])


def test_work_that_nobody_waits_for_any_more_is_not_begun(two_threads):
    """Before, what was told of a piece could fail, and the others were done all the same, with one thread for all."""
    begun, heard = [], threading.Event()

    def work(item):
        if item > 3:
            heard.wait(20)
            time.sleep(0.001)  # all of them would take seconds
        begun.append(item)

    def cancel(_made):
        heard.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        device.one_thread_each(work, range(10_000), 1, cancel)
    count = len(begun)
    assert count < 10_000 and torch.get_num_threads() == 2
    assert kept.traceback and len(begun) == count  # though the frames live


def test_work_is_done_while_another_call_holds_the_helpers(two_threads):
    """Before, it waited for all of the other's."""
    both, go_on = threading.Barrier(3), threading.Event()

    def hold(_item):
        both.wait(20)
        return go_on.wait(20)

    held = []
    other = threading.Thread(
        target=lambda: (torch.set_num_threads(2), held.extend(device.one_thread_each(hold, "ab", 1)))
    )
    other.start()
    both.wait(20)
    assert device.one_thread_each(str.upper, "cde", 1) == ["C", "D", "E"]
    assert not held
    go_on.set()
    other.join()
    assert held == [True, True]


def test_freed_memory_goes_back_to_the_system_where_the_c_library_can(monkeypatch):
    calls = []

    class Library:
        def __init__(self, _name):
            self.malloc_trim = calls.append

    monkeypatch.setattr(device.ctypes, "CDLL", Library)
    device.give_back_memory()
    assert calls == [0]
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _name: object())  # another C library
    device.give_back_memory()
    device.keep_memory()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_the_command_keeps_what_volumes_took_for_the_next_and_gives_it_back_before_it_refuses(monkeypatch):
    """In a process of its own: what is set there stays."""
    code = """
import mmap, resource, sys
from mrimpute import device
if sys.argv[1:]:
    device.keep_memory()
def taken():
    bytearray(60 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = taken()
print((taken() - first) * mmap.PAGESIZE < 2**20)
"""
    words = [[sys.executable, "-c", code], [sys.executable, "-c", code, "keep"]]
    told = [subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() for line in words]
    assert told == ["False", "True"]
    free, calls = iter([5, 10]), []
    monkeypatch.setattr(device, "available_memory", lambda _where: next(free))
    monkeypatch.setattr(device, "give_back_memory", lambda: calls.append("given back"))
    device.require_memory(10, CPU)
    assert calls == ["given back"]
