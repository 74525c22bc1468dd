"""What ``make fuzz`` says where it cannot run; that it runs is seen by running it."""

import pytest

from tests.fuzz import __main__ as program


def test_without_atheris_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interpreter without atheris is named, and so are those that have it: nothing looks as if it was tested."""
    monkeypatch.setattr(program, "find_spec", {}.get)
    assert program.main(["--seconds", "1", "location"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "There is no atheris in this environment" in said.err
    assert "make fuzz PYTHON=" in said.err


def test_a_target_that_does_not_exist_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name fuzzes nothing, and says so."""
    with pytest.raises(SystemExit, match="2"):
        program.main(["locatoin"])
    assert "no such target: locatoin" in capsys.readouterr().err
