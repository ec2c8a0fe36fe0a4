"""The check of words finds each turn of the list, with its file and line."""

import pathlib

import pytest
import words

TURNS = words.read_turns((pathlib.Path(words.__file__).parent / "turns.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("turn", [turn for _, turn, _ in TURNS])
def test_each_turn_is_found(turn):
    """In any case, and over the end of a line of a comment."""
    broken = turn.replace(" ", "\n    # ")
    text = "# One line.\n# Then {}, and {}.\n".format(turn.upper(), broken)
    found = [line for line, name, _ in words.find_turns(text, TURNS) if name == turn]
    assert found == [2, 2]


def test_parts_of_words_are_no_turns():
    """A turn is a whole word."""
    assert words.find_turns("normal minor_values.nora lested", TURNS) == []


def test_a_file_is_named(tmp_path, capsys):
    """The message has the file, the line, the turn and what to write instead. The exit status is 1."""
    pytest.importorskip("codespell_lib", reason="codespell is not installed")
    file = tmp_path / "text.md"
    file.write_text("Plain.\nDo it {}.\n".format("an" + "ew"), encoding="utf-8")
    assert words.main([str(file)]) == 1
    assert "text.md:2: `{}`. Write instead: again.".format("an" + "ew") in capsys.readouterr().out
    file.write_text("Do it again.\n", encoding="utf-8")
    assert words.main([str(file)]) == 0
