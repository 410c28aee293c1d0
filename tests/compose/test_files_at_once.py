"""Files are read once in a process, and every change of any is seen by the next audit that is composed."""

import os

import pytest
import workspace

from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError


@pytest.fixture
def made(tmp_path, monkeypatch):
    folder = workspace.written(tmp_path / "made")
    monkeypatch.chdir(folder)
    return folder


def seen(name="tiny"):
    spec = compose([f"audit={name}"])
    return spec.title, spec.suites["mine"].title, spec.scorers["vowels"].title


def test_a_changed_file_is_seen_at_once(made):
    assert seen() == ("A tiny model and its fine-tunes", "Three kinds of prompts", "Vowels")
    for name, before, after in [
        ("tiny.yaml", "A tiny model", "Another model"),
        ("suite/mine.yaml", "Three kinds", "Seven kinds"),  # as long as before
        ("scorer/vowels.yaml", "Vowels", "Wovels"),
    ]:
        file = made / "audits" / name
        file.write_text(file.read_text().replace(before, after))
    assert seen() == ("Another model and its fine-tunes", "Seven kinds of prompts", "Wovels")


def test_so_is_one_that_takes_another_s_place_with_its_size_and_time(made):
    seen()
    file = made / "audits" / "scorer" / "vowels.yaml"
    time = file.stat().st_mtime_ns
    other = file.with_suffix(".new")
    other.write_text(file.read_text().replace("Vowels", "Wovels"))
    os.utime(other, ns=(time, time))
    other.replace(file)
    assert seen()[2] == "Wovels"


def test_a_new_file_a_removed_one_and_a_broken_one_are_seen_at_once(made):
    audits = made / "audits"
    with pytest.raises(ToxauditError, match="There is no audit named 'other'"):
        seen("other")
    (audits / "other.yaml").write_text(workspace.AUDIT.replace("A tiny", "The other"))
    assert seen("other")[0] == "The other model and its fine-tunes"
    (audits / "other.yaml").write_text("title: [")
    with pytest.raises(ToxauditError, match="is not valid YAML"):
        seen("other")
    (audits / "other.yaml").unlink()
    with pytest.raises(ToxauditError, match="There is no audit named 'other'"):
        seen("other")
    assert seen()


def test_one_s_own_file_takes_the_place_of_a_shipped_one_and_gives_it_back(made):
    shipped = compose(["audit=tiny", "scorer=[vowels,refusal_keywords]"]).scorers["refusal_keywords"]
    own = made / "audits" / "scorer" / "refusal_keywords.yaml"
    own.write_text(workspace.SCORER)
    assert compose(["audit=tiny", "scorer=[vowels,refusal_keywords]"]).scorers["refusal_keywords"].title == "Vowels"
    own.unlink()
    assert compose(["audit=tiny", "scorer=[vowels,refusal_keywords]"]).scorers["refusal_keywords"] == shipped


def test_another_working_directory_has_other_files(made, tmp_path, monkeypatch):
    other = workspace.written(tmp_path / "other")
    (other / "audits" / "tiny.yaml").write_text(workspace.AUDIT.replace("A tiny", "The other"))
    for folder, title in [(other, "The other"), (made, "A tiny"), (other, "The other")]:
        monkeypatch.chdir(folder)
        assert seen()[0] == f"{title} model and its fine-tunes"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToxauditError, match="There is no audit named 'tiny'"):
        seen()


def test_what_is_a_path_is_asked_anew(made):
    """``BASE:ADAPTER`` is one path where such a file exists: that changes with no YAML file."""
    file = made / "audits" / "tiny.yaml"
    file.write_text(workspace.AUDIT.replace("candidates:\n", "candidates:\n  joined: 'one:two'\n"))
    assert compose(["audit=tiny"]).candidates["joined"].peft == "two"
    (made / "one:two").write_text("")
    assert compose(["audit=tiny"]).candidates["joined"].pretrained == "one:two"


def test_no_audit_changes_what_another_gets(made):
    first = compose(["audit=tiny", "scorers.vowels.phrases=[x]", "scorers.vowels.title=Xs"])
    first.suites["mine"].slices.append("more")
    first.candidates.clear()
    again = compose(["audit=tiny"])
    assert again.scorers["vowels"].phrases == ["a", "e", "i"] and again.scorers["vowels"].title == "Vowels"
    assert again.suites["mine"].slices == ["kind"] and set(again.candidates) == {"tuned", "noop"}


def test_a_changed_template_is_seen_at_once(made):
    templates = made / "templates"
    templates.mkdir()
    own = templates / "section.md.jinja"
    compose(["audit=tiny"])
    for content in ["{{ card.", "{% if %}"]:
        own.write_text(content)
        with pytest.raises(ToxauditError, match="The template 'section.md.jinja', line 1 has a mistake"):
            compose(["audit=tiny"])
    own.write_text("{{ card.title }}")
    compose(["audit=tiny"])
    own.unlink()
    compose(["audit=tiny"])
    (made / "mine.md.jinja").write_text("{{ 1 }}")
    compose(["audit=tiny", "card.template=./mine.md.jinja"])
    (made / "mine.md.jinja").unlink()
    with pytest.raises(ToxauditError, match="There is no template './mine.md.jinja'"):
        compose(["audit=tiny", "card.template=./mine.md.jinja"])
