"""The command line: finds the verb, runs it, and turns whatever goes wrong into one sentence and an exit code."""

import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from toxaudit import __version__
from toxaudit.cli import streams
from toxaudit.cli.exit_codes import DONE, ERROR, STOPPED
from toxaudit.cli.help import HELP, Help
from toxaudit.errors import ToxauditError, did_you_mean, one_line
from toxaudit.machine.folders import NO_MORE_FILES, TOO_MANY
from toxaudit.machine.memory import is_short
from toxaudit.machine.stopping import Stopped, stoppable, told_to_stop

VERBS = {
    "plan": "audit.plan",
    "show": "audit.show",
    "train": "audit.train",
    "counterfactuals": "counterfactuals.counterfactuals",
    "card": "card.card",
    "gate": "gate.gate",
    "diff": "diff.diff",
    "compare": "compare.compare",
    "ls": "listing.ls",
    "runs": "runs.runs",
    "view": "view.view",
    "gc": "store.gc",
    "export": "store.export",
    "init": "listing.init",
    "completion": "completion.completion",
    "doctor": "doctor.doctor",
    "discover": "hub.discover",
    "push": "hub.push",
    "keygen": "signoff.keygen",
    "signoff": "signoff.signoff",
    "verify": "signoff.verify",
    "label": "label.label",
    "calibrate": "calibrate.calibrate",
    "calibrate-statistics": "calibrate.calibrate_statistics",
}
"""Each verb, and the module of ``toxaudit.cli`` and the function in it that do it: words -> exit code."""
DECIDING = (["gate"], ["compare"])
"""The verbs whose exit code is a verdict, as is that of an audit."""
WITHOUT_VERB = "audit.run"
ASKS_FOR_HELP = frozenset({"-h", "--help", "help"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    What can't be printed changes no decision; where printing is all that a command does, it is an error.

    Args:
        arguments: its words, by default those of the process.
    """
    words = streams.words() if arguments is None else list(arguments)
    with streams.unfailing() as out:
        with stoppable():
            code = _run(words)
        out.flush()
        if out.error:
            refused = _refuse(f"standard output can't be written: {out.error.strerror or out.error}.")
            code = code if _decides(words) else refused
        return code


def _run(words: list[str]) -> int:
    """Run one command, whatever goes wrong."""
    try:
        return _dispatch(words)
    except Help as text:
        print(text, end="")
        return DONE
    except ToxauditError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, Stopped) as error:
        return _stopped(error)
    except OSError as error:
        mend = f" {TOO_MANY}; finished work is kept." if error.errno in NO_MORE_FILES else ""
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}.{mend}")
    except UnicodeEncodeError as error:  # what we write is UTF-8: it is a file's name
        return _refuse(f"'{error.object}' can't be named in this locale's {error.encoding}: set LC_ALL=C.UTF-8.")
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a defect, or a panic of a library, must not end with the exit code of a verdict
        if stop := told_to_stop():  # of which a library made an error of its own
            return _stopped(stop)
        if is_short(error):
            return _refuse(
                "not enough memory: choose a smaller model or batch size. Nothing was decided; finished work is kept."
            )
        if compiled := _cut_off(error):
            return _refuse(f"{compiled} is not whole, as where the disk was full: make room, and remove it.")
        for line in traceback.format_exc().splitlines():
            print(f"| {one_line(line)}", file=sys.stderr)
        return _refuse("this is a defect of toxaudit, or a file that made a library panic. Nothing was decided.")


def _cut_off(error: BaseException) -> str:
    """The compiled file of a module that can't be read to its end, if that is the error; Python makes it anew."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_locals["bytecode_path"]) if frame.f_code.co_name == "_compile_bytecode" else ""


def _stopped(error: BaseException) -> int:
    """Print that the command was stopped, and by which signal unless by Ctrl-C."""
    by = f" by {error.name}" if isinstance(error, Stopped) and error.exit_code != STOPPED else ""
    print(f"\ntoxaudit: stopped{by}. Finished work is kept: the same command goes on from here.", file=sys.stderr)
    return error.exit_code if isinstance(error, Stopped) else STOPPED


def _refuse(sentence: str) -> int:
    """Print why there is no result."""
    print(f"toxaudit: {one_line(sentence)}", file=sys.stderr)
    return ERROR


def _dispatch(words: list[str]) -> int:
    if not words or not ASKS_FOR_HELP.isdisjoint(words):
        words = [*[word for word in words if word in VERBS][:1], "--help"]
    if words == ["--help"]:
        raise Help(HELP)
    if words == ["--version"]:
        print(f"toxaudit {__version__}")
        return DONE
    if words[0] in VERBS:
        return _function(VERBS[words[0]])(words[1:])
    if "=" not in words[0] and not words[0].startswith(("-", "+", "~")):
        raise ToxauditError(f"There is no command '{words[0]}'{_meant(words)}")
    return _function(WITHOUT_VERB)(words)


def _meant(words: Sequence[str]) -> str:
    """What to write in place of words that begin with no command, as the end of a sentence."""
    from toxaudit.machine import folders

    rest = words[1:] if words[0] in ("audit", "run") else words
    if rest and (rest[0].startswith("audit=") or folders.audit(rest[0])):
        first = rest[0] if "=" in rest[0] else f"audit={folders.audit(rest[0])}"
        return f": write `{shlex.join(['toxaudit', first, *rest[1:]])}`."
    if not rest or rest is not words:
        return ": write `toxaudit audit=NAME`, with NAME one of `toxaudit ls audits`."
    return f".{did_you_mean(words[0], VERBS)}"


def _decides(words: list[str]) -> bool:
    """Whether a command's exit code is a verdict, and its results are files."""
    if not ASKS_FOR_HELP.isdisjoint(words):
        return False
    return words[:1] in DECIDING or not set(words[:1]) & VERBS.keys() and any("=" in word for word in words)


def _function(path: str) -> Callable[[list[str]], int]:
    """A verb's function. Only its module is imported, so that no command pays for what another one needs."""
    module, name = path.split(".")
    return cast(Callable[[list[str]], int], getattr(import_module(f"toxaudit.cli.{module}"), name))


def script() -> None:
    """The console entry point."""
    streams.open_what_is_closed()
    with streams.unfailing():
        try:
            code = main()
        except (KeyboardInterrupt, Stopped) as error:  # while another error was being told
            code = error.exit_code if isinstance(error, Stopped) else STOPPED
        except SystemExit:  # of a library, whose code could be that of a verdict
            code = _refuse("a library ended the program. Nothing was decided.")
        except BaseException:  # Python's own exit code would be 1, that of NO-GO
            code = ERROR
    streams.let_go()
    sys.exit(code)
