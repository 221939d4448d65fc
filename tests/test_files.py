"""Files that appear whole, hold no NaN, and tell no folder of the machine that wrote them."""

import errno
from pathlib import Path

import pytest
from calling import Captured

from skinvision_hf.errors import DataError, RunError, run_command
from skinvision_hf.files import atomic_write, without_folders, write_json


def test_a_file_is_old_or_new_and_nothing_is_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = atomic_write(tmp_path / "folder" / "a.txt", "old")

    def fail(self: Path, target: Path) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]
    assert atomic_write(path, "neu – neuer").read_text(encoding="utf-8") == "neu – neuer"


def test_json_without_a_number_for_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_only_the_names_of_paths_elsewhere_are_told(tmp_path: Path) -> None:
    assert without_folders(str(tmp_path / "weights")) == "weights"
    assert without_folders(f"--model.init={tmp_path / 'weights'}") == "--model.init=weights"
    assert without_folders("../data/HAM10000") == "HAM10000"
    for argument in ("--resume", "--data=synthetic[:210]", "lite0", "user/name", "outputs/a", "--config=b/c.yaml", ""):
        assert without_folders(argument) == argument


def fail_with(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: cannot read or write No space left on device; "),
        (OSError(errno.EACCES, "Permission denied", "a/b.png"), 1, "error: cannot read or write a/b.png: Permission"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), 2, "error: cannot read or write a: File name"),
        (RunError("it failed"), 1, "error: it failed"),
        (DataError("mend it"), 2, "error: mend it"),
        (KeyboardInterrupt("Go on with --resume."), 130, "stopped. Go on with --resume."),
    ],
)
def test_a_command_that_fails_says_so_in_one_line(error: BaseException, code: int, line: str, capsys: Captured) -> None:
    assert run_command(lambda _: fail_with(error)) == code
    printed = capsys.readouterr().err
    assert printed.startswith(line) and printed.count("\n") == 1


def test_what_cannot_be_written_names_the_variable_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for path, remedy in (("cache/hub/x", "set HF_HOME"), ("tmp/x", "set TMPDIR"), ("out/x", "check the disk and the")):
        run_command(lambda _, path=path: fail_with(OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / path))))
        assert f"{path}: Disk quota exceeded; " in (printed := capsys.readouterr().err) and remedy in printed
