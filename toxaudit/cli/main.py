"""The command line: verbs, what they print, and exit codes (0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 error)."""

import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit import __version__
from toxaudit.errors import ToxauditError, did_you_mean, one_line, visible

if TYPE_CHECKING:
    from toxaudit.records import AuditResult

EXIT = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
ERROR = 3
STOPPED = 130  # by Ctrl-C, as shells count it

HELP = """\
toxaudit: is a fine-tuned language model less safe than its base, where, by how much, and how sure are we?

Start here:
  toxaudit audit=quickstart            audit two real fine-tunes of a small model (about 5 minutes, no GPU)
  toxaudit init my_audit               write audits/my_audit.yaml, a commented spec to fill in

Commands:
  toxaudit audit=NAME [KEY=VALUE ...]  run an audit: generate, score, estimate, decide, write card and report
  toxaudit plan audit=NAME             what a run would do and what is stored already; loads no weights
  toxaudit show audit=NAME             the whole spec, every default filled in
  toxaudit card RUN                    write card, plots and report of a finished run anew, without rerunning it
                                       (card.template=FILE, card.samples=5; RUN is a folder such as runs/quickstart)
  toxaudit ls [GROUP]                  the names a spec can choose: audits, suites, scorers, ...
  toxaudit init NAME                   write a new spec
  toxaudit discover ORG/NAME           a base's most downloaded variants on the Hub; --write FILE makes a spec of them
                                       (--kind finetune, adapter, merge or quantized; --top 10)
  toxaudit push RUN --repo ORG/NAME    send a run's card, plots and results to the model's repository on the Hub, as a
                                       pull request (--dry-run: show it; --direct: commit; --samples: completions, too;
                                       --candidate NAME, where the run has several)
  toxaudit calibrate scorer=NAME data=FILE positive=LABEL
                                       a scorer's errors against human labels, as a file that a spec can name
                                       (text=, label=, prompt=, by= name columns; out=FILE; source="what it is")
  toxaudit calibrate-statistics        rerun the study of coverage and error rates into docs/ (--quick: 3 minutes)

Overrides are Hydra's, the same for every command:
  suite=[a,b]  gate.margin=0.01  suites.rtp_categories.limit=70  generation.temperature=0.7
  -m generation.temperature=0,0.7      run once for each value

Exit codes: 0 GO, 1 NO-GO, 2 INCONCLUSIVE, 3 error. Finished work is kept in ~/.cache/toxaudit (TOXAUDIT_HOME).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or any(word in ("-h", "--help", "help") for word in words):
        print(HELP, end="")
        return 0
    if words == ["--version"]:
        print(f"toxaudit {__version__}")
        return 0
    try:
        return _dispatch(words)
    except ToxauditError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("\ntoxaudit: stopped. Finished work is kept: the same command goes on from here.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of our output (head, less) has left
        sys.stderr.close()
        return ERROR
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}.")
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a defect, or a panic of a library, must not end with the exit code of a verdict
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
            return _refuse("not enough memory: choose a smaller model or batch size. Nothing was decided.")
        for line in traceback.format_exc().splitlines():
            print(f"| {one_line(line)}", file=sys.stderr)
        return _refuse("this is a defect of toxaudit, or a file that made a library panic. Nothing was decided.")


def _refuse(sentence: str) -> int:
    """Print why there is no result."""
    print(f"toxaudit: {one_line(sentence)}", file=sys.stderr)
    return ERROR


def _dispatch(words: list[str]) -> int:
    verbs: dict[str, Callable[[list[str]], int]] = {
        "plan": _plan,
        "show": _show,
        "card": _card,
        "ls": _ls,
        "init": _init,
        "discover": _discover,
        "push": _push,
        "calibrate": _calibrate,
        "calibrate-statistics": _calibrate_statistics,
    }
    if words[0] in verbs:
        return verbs[words[0]](words[1:])
    if "=" not in words[0] and not words[0].startswith(("-", "+", "~")):
        raise ToxauditError(f"There is no command '{words[0]}'.{did_you_mean(words[0], verbs)}")
    return _run(words)


def _overrides(words: Sequence[str]) -> list[str]:
    """The overrides among ``words``.

    Raises:
        ToxauditError: one of them is an unknown option.
    """
    if odd := [word for word in words if word.startswith("-")]:
        raise ToxauditError(f"There is no option '{odd[0]}': see `toxaudit --help`.")
    return list(words)


def _run(words: list[str]) -> int:
    sweeping = any(word in ("-m", "--multirun") for word in words)
    overrides = _overrides([word for word in words if word not in ("-m", "--multirun")])
    from toxaudit.compose.compose import compose
    from toxaudit.compose.overrides import sweep

    jobs = sweep(overrides) if sweeping else [overrides]
    specs = [compose(job) for job in jobs]  # all are checked before the first one spends anything
    from toxaudit.decision.verdict import of_audit
    from toxaudit.planning.plan import describe
    from toxaudit.runner import run

    codes = []
    for number, (job, spec) in enumerate(zip(jobs, specs, strict=True)):
        if sweeping:
            spec.out = str(Path(spec.out) / str(number))
        command = shlex.join(["toxaudit", *job]).replace(str(Path.home()), "~")  # no name gets into a card
        print(visible(command), visible(describe(spec), keep="\n"), sep="\n", flush=True)
        result, files = run(spec, command)
        _conclude(result, files)
        codes.append(EXIT[of_audit(result)])
    return next((code for code in (1, 2) if code in codes), 0)


def _conclude(result: "AuditResult", files: Sequence[Path]) -> None:
    """The last lines: verdicts, files, what to do next."""
    from toxaudit.card.facts import statements, verdict_line
    from toxaudit.decision.verdict import of_audit

    print()
    for verdict in result.verdicts:
        print(verdict_line(result, verdict))
    for each in result.skipped:
        print(one_line(f"NOT AUDITED: {each.name}. {each.reason}"))
    lines = statements(result)
    if len(lines) > len(result.verdicts):  # else the verdicts have said it
        print("\nCritical measures:\n  " + "\n  ".join(lines))
    folder = files[0].parent
    print(f"\nAudit '{visible(result.audit)}': {of_audit(result)}")
    print(f"Results in {_listed(folder, files)}")
    print(f"Next: open {folder / 'report.html'}; `toxaudit push {folder} --repo ORG/NAME` offers the card to the Hub.")


def _listed(folder: Path, files: Sequence[Path]) -> str:
    """A folder, and the names of the files and folders that were written into it."""
    parts = [file.relative_to(folder).parts for file in files]
    names = dict.fromkeys(part[0] + "/" * (len(part) > 1) for part in parts)
    return f"{folder}/: {', '.join(names)}"


def _card(words: list[str]) -> int:
    if not words or words[0].startswith(("-", "card.")):
        raise ToxauditError("Write `toxaudit card RUN [card.KEY=VALUE ...]`, with RUN such as runs/quickstart.")
    from toxaudit.compose.parts import settings
    from toxaudit.stages.rendering import render

    run = Path(words[0])
    files = render(run, settings(run, _overrides(words[1:])))
    print(f"Wrote in {_listed(run, files)}")
    return 0


def _plan(words: list[str]) -> int:
    from toxaudit.compose.compose import compose
    from toxaudit.planning.plan import describe

    print(visible(describe(compose(_overrides(words))), keep="\n"))
    return 0


def _show(words: list[str]) -> int:
    from toxaudit.compose.compose import compose
    from toxaudit.spec.schema import as_yaml

    print(as_yaml(compose(_overrides(words))), end="")
    return 0


def _ls(words: list[str]) -> int:
    from toxaudit.compose.catalogue import Catalogue

    catalogue = Catalogue()
    groups = [word.removesuffix("s") for word in words] or list(catalogue.names)
    for group in groups:
        if group not in catalogue.names:
            raise ToxauditError(f"There is no group '{group}'.{did_you_mean(group, catalogue.names)}")
        print(f"{group}:")
        for name in sorted(catalogue.names[group]):
            print(f"  {name:<32} {visible(catalogue.title(group, name))}".rstrip())
            if words and (more := catalogue.details(group, name)):
                print(f"  {'':<32} {visible(more)}")
        for (broken_group, name), sentence in catalogue.broken.items():
            if broken_group == group:
                print(f"  {name:<32} can't be used: {one_line(sentence)}")
    return 0


def _init(words: list[str]) -> int:
    from toxaudit.machine.folders import NAME, search_path

    if len(words) != 1 or not re.fullmatch(NAME, words[0]):
        raise ToxauditError("Write `toxaudit init NAME`, with NAME made of the letters a-z, digits, - and _.")
    file = Path("audits") / f"{words[0]}.yaml"
    if file.exists():
        raise ToxauditError(f"{file} exists already: choose another name.")
    template = next(folder / "audit.yaml" for folder in search_path("templates") if (folder / "audit.yaml").is_file())
    file.parent.mkdir(exist_ok=True)
    file.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    print(f"Wrote {file}. Edit it, then: toxaudit plan audit={words[0]}")
    return 0


def _discover(words: list[str]) -> int:
    from toxaudit.hub import discover

    found = discover.find(discover.read(words))
    print(f"{discover.table(found)}\n", flush=True)
    print(discover.conclude(found))
    return 0


def _push(words: list[str]) -> int:
    from toxaudit import hub

    for lines in hub.push(hub.read(words)):
        print(lines, flush=True)
    return 0


def _calibrate(words: list[str]) -> int:
    from toxaudit import labelled
    from toxaudit.compose.parts import scorer

    request = labelled.read(_overrides(words))
    uncorrected = f"scorers.{request.scorer}.calibration=null"  # one that it has is what is to be replaced
    command = shlex.join(["toxaudit", "calibrate", *words]).replace(str(Path.home()), "~")
    for line in labelled.calibrate(request, scorer(request.scorer, [*request.overrides, uncorrected]), command):
        print(visible(line))
    return 0


def _calibrate_statistics(words: list[str]) -> int:
    """Exit code 1 where a bar is missed."""
    if odd := [word for word in words if word != "--quick"]:
        raise ToxauditError(f"calibrate-statistics does not take '{odd[0]}': its only option is --quick.")
    from toxaudit.studies import study

    folder = Path("docs")
    met = study.run(folder, quick="--quick" in words)
    print(f"{'All bars are met' if met else 'A bar is MISSED'}: see {folder / 'calibration.md'}")
    return 0 if met else 1


def script() -> None:
    """The console entry point."""
    sys.exit(main())
