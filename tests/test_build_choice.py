"""BRENIER_CUDA is read as people write it, and a word that is neither yes nor no stops the build."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHOICE = Path(__file__).resolve().parents[1] / "csrc" / "cuda" / "choice.cmake"
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed (the build brings its own)")


def configure(word: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "ask.cmake"
    script.write_text(
        f'include("{CHOICE}")\nbrenier_cuda_choice("{word}" choice)\nmessage("choice: ${{choice}}")\n'
    )
    return subprocess.run([str(CMAKE), "-P", str(script)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("AUTO", ["AUTO", "auto", "", " Auto "]),
        ("ON", ["ON", "on", "1", "TRUE", "Yes"]),
        ("OFF", ["OFF", "off", "0", "FALSE", "NO", "no"]),
    ],
)
def test_the_words_for_yes_and_no_are_understood_in_any_case(
    choice: str, words: list[str], tmp_path: Path
) -> None:
    for word in words:
        assert f"choice: {choice}\n" in configure(word, tmp_path).stderr


@pytest.mark.parametrize("word", ["maybe", "ONN", "2", "cuda"])
def test_another_word_stops_the_build_and_says_what_is_expected(word: str, tmp_path: Path) -> None:
    done = configure(word, tmp_path)
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert f"expected AUTO, ON (1, TRUE, YES) or OFF (0, FALSE, NO) in any case, got '{word}'" in message
