"""The command line's manners: help, exit codes, JSON, configuration, nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brenier.cli.main import COMMANDS
from helpers.commands import call

RNG = np.random.default_rng(0)


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    return npy(tmp_path / "targets.npy", RNG.standard_normal((20, 4)).astype(np.float32))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_and_the_shared_options(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"brenier {command}" in result.output.split("Examples:")[1]
    for option in ("--json", "--config", "--quiet", "--debug"):
        assert option in result.output


def test_help_and_version_load_no_torch() -> None:
    code = "import sys; sys.argv = ['brenier', '--help']\nfrom brenier.cli.main import cli\n"
    code += "try: cli.main(['--help'])\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("0 False\n")


def test_no_command_shows_help_and_is_a_mistake() -> None:
    result = call()
    assert result.exit_code == 2
    assert "Commands" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["flt"],
        ["fit", "absent.npy"],
        ["fit", "absent.npy", "--out", "p.safetensors"],
        ["fit", "absent.npy", "--out", "p.safetensors", "--tol", "much"],
        ["fit", "absent.npy", "--out", "p.pickle"],
        ["pair", "absent.npy", "--out", "p.npy"],
        ["train", "absent.npy", "--out", "n.safetensors"],
        ["sample", "absent.safetensors", "--out", "s.npy"],
        ["evaluate", "absent.npy", "absent.npy"],
        ["bench", "--engine", "abacus"],
        ["doctor", "--config", "absent.toml"],
    ],
)
def test_mistakes_exit_with_2_one_message_and_no_traceback(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "rror" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nan_in_the_targets_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    values = np.zeros((3, 2), np.float32)
    values[1, 0] = np.nan
    result = call("fit", npy(tmp_path / "bad.npy", values), "--out", tmp_path / "p.safetensors")
    assert result.exit_code == 2
    assert "[1, 0]" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npy"]


def test_debug_adds_the_traceback() -> None:
    result = call("pair", "absent.npy", "--out", "/tmp/p.npy", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_unwritable_output_is_found_before_the_input_is_read(tmp_path: Path, targets: Path) -> None:
    for out in (tmp_path / "absent" / "p.safetensors", targets / "p.safetensors"):
        result = call("fit", tmp_path / "also-absent.npy", "--out", out)
        assert result.exit_code == 2
        assert "to be writable" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["targets.npy"]


def test_unforeseen_errors_exit_with_1_and_point_to_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brenier.report.doctor.examine", lambda: 1 / 0)
    result = call("doctor")
    assert result.exit_code == 1
    assert (
        result.stderr
        == "unforeseen ZeroDivisionError: division by zero\nrun again with --debug for the traceback\n"
    )


def test_interruption_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("brenier.report.doctor.examine", interrupt)
    assert call("doctor").exit_code == 130


def test_config_sets_options_and_the_command_line_wins(tmp_path: Path, targets: Path) -> None:
    config, out = tmp_path / "pair.toml", tmp_path / "p.npy"
    config.write_text(f'seed = 5\nout = "{out}"\njson = true\nquiet = true\n')
    assert json.loads(call("pair", targets, "--config", config).stdout)["settings"]["seed"] == 5
    assert json.loads(call("pair", targets, "--seed", 6, "--config", config).stdout)["settings"]["seed"] == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 5", "key 'sed'"),
        ("max_samples = 5", "key 'max_samples'"),
        ("seed = 1.5", "not a valid integer"),
        ("seed = {a = 1}", "a number, a string"),
        ("seed = ", "readable TOML"),
    ],
)
def test_config_mistakes_are_refused(tmp_path: Path, targets: Path, text: str, message: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    result = call("fit", targets, "--out", tmp_path / "p.safetensors", "--config", config)
    assert result.exit_code == 2
    assert message in result.stderr


def test_doctor_says_what_is_used_and_why() -> None:
    found = json.loads(call("doctor", "--json").stdout)
    assert {row["name"] for row in found["engines"]} == {"reference", "cpu", "triton", "cuda"}
    assert all(row["available"] or row["reason"] for row in found["engines"])
    assert {row["tensors"] for row in found["chosen"]} == {"cpu", "cuda"}
    text = call("doctor").stdout
    assert all(name in text for name in ("python", "torch", "reference", "matplotlib"))


def test_doctor_names_the_extra_of_an_absent_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = json.loads(call("doctor", "--json").stdout)
    assert {"absent: pip install 'brenier[diffusers]'"} < {row["state"] for row in found["packages"]}


def test_the_console_entry_works_as_a_process() -> None:
    done = subprocess.run([sys.executable, "-m", "brenier.cli.main", "flt"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "No such command 'flt'" in done.stderr
