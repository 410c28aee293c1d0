"""Plug-ins: taken whole or not at all, never in the place of toxaudit's own, named where they can't be used."""

import importlib
import subprocess
import sys
import textwrap

import finished
import packaged
import pytest
from omegaconf import OmegaConf

from toxaudit import plugins, registry
from toxaudit.cli.main import main
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.interop.importers import importer, importers
from toxaudit.recomputation import read_checked

IMPORTER = """
from toxaudit.registry import register

@register("importer", "{name}")
class Made:
    takes = ""

    def recognises(self, path):
        {recognises}

    def read(self, place):
        raise NotImplementedError
"""
GATE = """
from dataclasses import replace
from toxaudit.decision.gate import MarginGate
from toxaudit.registry import register

@register("gate", "lenient")
class Lenient(MarginGate):
    margin: float = 0.97

    def facts(self):
        return replace(super().facts(), rule="By a plug-in: " + super().facts().rule)
"""
PRESET = "kind: keywords\ntitle: Of a plug-in\nphrases: [a]\n"


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path):
    """Each test has installed packages of its own, and leaves none."""
    with packaged.site(tmp_path / "site") as patch:
        patch.chdir(tmp_path)
        patch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
        yield


@pytest.fixture
def install(tmp_path):
    return lambda *words, **more: packaged.installed(tmp_path / "site", *words, **more)


def refused(install, files, **more):
    """Why the plug-in 'odd' is refused, with the beginning that every sentence has."""
    install("odd", files, **more)
    (odd,) = plugins.broken()
    assert not odd.parts and odd.told.startswith("is not used: it ")
    return odd.told.removeprefix("is not used: it ")


def test_its_classes_and_presets_are_chosen_by_name(install):
    install("mine", {"__init__.py": packaged.SCORER.format(name="strong"), "conf/scorer/preset.yaml": PRESET})
    spec = compose(["audit=quickstart", "scorer=[strong,preset]", "scorers.strong.strength=3"])
    assert spec.scorers["strong"].strength == 3 and spec.scorers["preset"].phrases == ["a"]
    assert plugins.versions((), spec) == {"mine": "1.0"}
    with pytest.raises(ToxauditError, match=r"no scorer named 'stron'\. Did you mean 'strong'\?"):
        compose(["audit=quickstart", "scorer=[stron]"])


def test_only_those_that_a_spec_uses_are_recorded(install):
    folder = install(
        "mine", {"__init__.py": "", "conf/suite/other.yaml": "kind: dataset\ntitle: Other\ndata: ./p.jsonl\n"}
    )
    (folder / "conf/suite/p.jsonl").write_text('{"prompt": "Go."}\n')
    install("unused", {"__init__.py": packaged.SCORER.format(name="strong")})
    catalogue = Catalogue()
    made = [OmegaConf.to_object(catalogue.node("suite", name)) for name in ("other", "bbq")]
    assert plugins.versions((), {"suites": made}) == {"mine": "1.0"}  # by its prompts
    assert plugins.versions((), {"suites": made[1:]}) == {}


def test_names_are_listed_with_their_package(install, capsys):
    install("mine", {"__init__.py": packaged.SCORER.format(name="strong"), "conf/scorer/preset.yaml": PRESET})
    install("odd", {"__init__.py": "import nothing_of_that_name"})
    assert main(["ls", "scorers", "plugins"]) == 0
    out = capsys.readouterr().out
    assert "A scorer of a plug-in. (from mine 1.0)\n" in out and "Of a plug-in (from mine 1.0)\n" in out
    assert "mine 1.0 brings scorer preset, scorer strong\n" in out
    why = "it can't be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    assert f"odd 1.0 is not used: {why}" in out


def test_ones_own_file_goes_before_a_plug_ins(install, tmp_path):
    install("mine", {"__init__.py": "", "conf/scorer/preset.yaml": PRESET})
    (tmp_path / "audits/scorer").mkdir(parents=True)
    (tmp_path / "audits/scorer/preset.yaml").write_text(PRESET.replace("[a]", "[b]"))
    catalogue = Catalogue()
    assert catalogue.node("scorer", "preset").phrases == ["b"] and catalogue.origin("scorer", "preset") == ""


@pytest.mark.parametrize(
    "code, why",
    [
        ("import nothing_of_that_name", "can't be imported: ModuleNotFoundError: No module named"),
        ("raise SystemExit(0)", "can't be imported: SystemExit: 0"),
        ("raise ValueError('several\\nlines')", "can't be imported: ValueError: several lines"),
        ("def odd(:", "can't be imported: SyntaxError: invalid syntax"),
        (
            packaged.SCORER.format(name="keywords"),
            "scorer 'keywords' is registered twice: toxaudit.scorers.keywords has",
        ),
        (packaged.SCORER.format(name="hurtlex"), "has a scorer 'hurtlex', which is a name of toxaudit's own"),
        (packaged.SCORER.format(name="a") * 2, "scorer 'a' is registered twice: odd has that name already"),
        (packaged.SCORER.format(name="a b"), "calls a scorer 'a b': a name is made of the letters a-z"),
        (packaged.SCORER.format(name="a").replace("def score", "def scores"), "has a scorer 'a' that lacks score"),
        (packaged.SCORER.format(name="a").replace("int", "set"), "has a scorer 'a' that can't be made"),
        (packaged.SCORER.format(name="a").replace("int", "'Missing'"), "can't be made: NameError: name 'Missing'"),
        ("x = 1", "brings nothing: it registers no class, and there are no presets in its folder conf/"),
        (IMPORTER.format(name="garak", recognises="return True"), "importer 'garak' is registered twice"),
        (IMPORTER.format(name="a", recognises="return True").replace("def read", "def reads"), "'a' that lacks read"),
    ],
)
def test_what_is_wrong_with_one_is_one_sentence_and_nothing_of_it_is_left(install, code, why):
    before = registry.filed()
    told = refused(install, {"__init__.py": packaged.SCORER.format(name="first") + code if "Exit" in code else code})
    assert why in told and "\n" not in told
    assert registry.filed() == before


@pytest.mark.parametrize(
    "file, why",
    [
        ("conf/scorer/hurtlex.yaml", "has a scorer 'hurtlex', which is a name of toxaudit's own"),
        ("conf/gate/margin.yaml", "has a gate 'margin', which is a name of toxaudit's own"),
        ("conf/scorers/a.yaml", "has a folder conf/scorers, which must be called conf/scorer"),
    ],
)
def test_a_preset_takes_no_name_of_toxaudits_own(install, file, why):
    assert refused(install, {"__init__.py": "", file: PRESET}) == why


def test_an_entry_point_names_a_module_alone(install):
    assert "names 'odd:x' as its entry point" in refused(install, {"__init__.py": "x = 1"}, entry="odd:x")


def test_a_module_in_no_package_has_no_presets(install, tmp_path):
    """A folder conf/ beside it is somebody else's."""
    install("odd", {"__init__.py": ""}, entry="alone")
    (tmp_path / "site/alone.py").write_text("")
    (tmp_path / "site/conf/scorer").mkdir(parents=True)
    (tmp_path / "site/conf/scorer/a.yaml").write_text(PRESET)
    (odd,) = plugins.loaded()
    assert "brings nothing" in odd.refusal


def test_a_broken_one_stops_no_audit(install):
    install("odd", {"__init__.py": packaged.SCORER.format(name="first") + "raise SystemExit(0)"})
    assert compose(["audit=quickstart"]).name == "quickstart"


def test_a_damaged_preset_costs_no_other_name(install):
    install("mine", {"__init__.py": packaged.SCORER.format(name="strong"), "conf/scorer/bad.yaml": "kind: nothing\n"})
    catalogue = Catalogue()
    assert "strong" in catalogue.names["scorer"] and not plugins.broken()
    assert "'kind' is 'nothing', which is no scorer" in catalogue.broken["scorer", "bad"]


def test_of_two_with_one_name_the_first_package_has_it(install):
    install("ab", {"__init__.py": packaged.SCORER.format(name="strong")})
    install("odd", {"__init__.py": "", "conf/scorer/strong.yaml": PRESET})
    assert [each.refusal for each in plugins.loaded()] == [
        "",
        "has a scorer 'strong', and so has ab 1.0: remove one of the packages",
    ]


def test_it_may_have_been_imported_before(install):
    install("mine", {"__init__.py": packaged.SCORER.format(name="strong")})
    importlib.import_module("mine")
    assert plugins.loaded()[0].parts == [("scorer", "strong")]


def test_one_may_import_another_and_costs_it_nothing_where_it_fails(install):
    install("b_library", {"__init__.py": packaged.SCORER.format(name="strong")})
    install("a_user", {"__init__.py": "import b_library\n" + packaged.SCORER.format(name="other") + "raise OSError"})
    user, library = plugins.loaded()
    assert user.refusal == "can't be imported: OSError" and library.parts == [("scorer", "strong")]
    assert "other" not in registry.registered("scorer")


def test_two_modules_of_one_package_share_its_presets(install, tmp_path):
    files = {"__init__.py": "", "one.py": packaged.SCORER.format(name="strong"), "conf/scorer/preset.yaml": PRESET}
    install("mine", {**files, "two.py": "import mine.one"}, entry="mine.one\nmore = mine.two")
    assert [each.parts for each in plugins.loaded()] == [[("scorer", "preset"), ("scorer", "strong")], []]
    assert not plugins.broken()


def test_a_module_of_toxaudits_own_is_no_plug_in(install):
    assert refused(install, {"__init__.py": ""}, entry="toxaudit.scorers").startswith("brings nothing")
    assert "keywords" in registry.registered("scorer")


def test_a_name_that_is_missing_may_be_a_broken_ones(install, tmp_path):
    install("odd", {"__init__.py": "import nothing_of_that_name"})
    may = "The plug-in 'odd' of odd 1.0, which may have it, can't be imported: ModuleNotFoundError"
    with pytest.raises(ToxauditError, match=f"no scorer named 'strong'.*{may}"):
        compose(["audit=quickstart", "scorer=[strong]"])
    (tmp_path / "audits/scorer").mkdir(parents=True)
    (tmp_path / "audits/scorer/own.yaml").write_text("kind: strong\n")
    with pytest.raises(ToxauditError, match=f"which is no scorer.*{may}"):
        compose(["audit=quickstart", "scorer=[own]"])
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ToxauditError, match=f"no format 'strong'.*{may}"):
        importer(tmp_path / "a.txt", "strong")
    with pytest.raises(ToxauditError, match=f"no format that is known.*{may}"):
        importer(tmp_path / "a.txt")


def test_importers_are_asked_before_the_table_that_takes_any(install, tmp_path, capsys):
    install("mine", {"__init__.py": IMPORTER.format(name="logs", recognises="return path.suffix == '.jsonl'")})
    install("odd", {"__init__.py": IMPORTER.format(name="bad", recognises="raise OSError('odd')")})
    assert [*importers()][-3:] == ["logs", "bad", "table"]
    (tmp_path / "a.jsonl").write_text('{"prompt": "Go."}\n')
    assert importer(tmp_path / "a.jsonl").kind == "logs"
    (tmp_path / "a.csv").write_text("prompt,x\nGo.,1\n")
    assert importer(tmp_path / "a.csv").kind == "table"
    said = capsys.readouterr().err
    assert f"The importer 'bad' of odd 1.0 fails at {tmp_path / 'a.csv'} (OSError): it is left out." in said


def test_readers_of_a_finished_run_load_them_only_for_what_toxaudit_lacks(install):
    install("mine", {"__init__.py": packaged.SCORER.format(name="strong")})
    assert plugins.named("scorer", "keywords") and plugins.loaded.cache_info().currsize == 0
    assert next(plugins.all_of("gate")) and plugins.loaded.cache_info().currsize == 0
    assert plugins.named("scorer", "strong") and plugins.loaded.cache_info().currsize == 1
    assert plugins.named("scorer", "nothing") is None
    assert [made.kind for made in plugins.all_of("scorer")][-1] == "strong"


@pytest.mark.thorough
def test_a_gate_decides_a_finished_run_and_is_known_again(install, tmp_path, without_plots, capsys):
    finished.committed_run(tmp_path / "run", finished.HARDER["no-go"])
    install("mine", {"__init__.py": GATE})
    assert main(["gate", "run", "gate=lenient"]) == 0, capsys.readouterr().err
    result = read_checked(tmp_path / "run", with_card=True)
    assert result.gate.rule.startswith("By a plug-in: ") and result.versions["mine"] == "1.0"
    assert main(["gate", "run"]) == 1  # by its own rule


@pytest.mark.thorough
def test_the_help_imports_none(install, tmp_path):
    install("mine", {"__init__.py": "print('imported')"})
    code = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(tmp_path / "site")!r})
        from toxaudit.cli.main import main
        main(["--help"]); main(["ls", "--help"]); print("toxaudit.plugins" in sys.modules)
        main(["ls", "plugins"])
    """)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.index("\nFalse\n") < out.index("imported") and "mine 1.0 is not used: it brings nothing" in out
