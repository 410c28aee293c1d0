"""What a model's files tell before any weights are read, the same to a plan as to a run."""

from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.models import within
from toxaudit.models.declared import Declared, Kind, foreign_code, is_base
from toxaudit.sources import Fetched, HubSource, Source
from toxaudit.spec.schema import WeightsSpec


def weights_among(source: Source, fetched: Fetched, gguf_file: str | None) -> Fetched:
    """The weights among what was fetched: a folder of safetensors, or one GGUF file.

    Args:
        source: what is named.
        fetched: its files.
        gguf_file: the one to take, if any.

    Raises:
        ToxauditError: if there are none that are ever loaded.
    """
    root = fetched.path if fetched.path.is_dir() else fetched.path.parent
    if (root / "adapter_config.json").is_file():  # transformers would load the model that it names instead
        raise ToxauditError(
            f"{fetched.reference} holds an adapter_config.json beside the weights: name an adapter by 'peft', or take "
            "that file away."
        )
    if gguf_file:
        if gguf_file not in fetched.files:
            beside = [file.name for file in fetched.path.glob("*.gguf")] if fetched.path.is_dir() else []
            raise ToxauditError(f"{fetched.reference} holds no {gguf_file}.{did_you_mean(gguf_file, beside)}")
        name, sha = f"{fetched.reference}/{gguf_file}", fetched.files[gguf_file]
        return Fetched(name, fetched.revision, fetched.path / gguf_file, sha, {gguf_file: sha})
    if fetched.path.is_file():
        if fetched.path.suffix != ".gguf":
            raise ToxauditError(f"{fetched.reference} is a single file but no .gguf: name the model's folder.")
    elif not any(name.endswith(".safetensors") for name in fetched.files):
        within.suggest(source, "*.safetensors")
        raise ToxauditError(
            f"{fetched.reference} holds no *.safetensors: weights in pickles (*.bin, *.pt) are never loaded; "
            "of GGUF files, name one by gguf_file."
        )
    elif "config.json" not in fetched.files:
        raise ToxauditError(f"{fetched.reference} holds no config.json: it is no transformers model.")
    return fetched


def code_notes(reference: str, root: Path, spec: WeightsSpec, runs: bool = True) -> list[str]:
    """What is to be said of code that comes with weights, where it can run, or with a tokenizer, where it can't.

    Raises:
        ToxauditError: if there is such code and the spec doesn't say what to do, or if it lies in another repository.
    """
    found = foreign_code(root)
    if not found:
        return []
    file, code = found[0]
    if spec.trust_remote_code is None:
        raise ToxauditError(
            f"{reference}: {file} names code of its own ({code}), which is not run: set trust_remote_code: "
            "false to read the weights with transformers' own class, or true to run that code."
        )
    elsewhere = [(file, code) for file, code in found if "--" in code]
    if elsewhere and spec.trust_remote_code:
        file, code = elsewhere[0]
        raise ToxauditError(f"{reference}: {file} names code of another repository ({code}), which isn't run.")
    if not spec.trust_remote_code or not runs:
        return [f"its {file} names code of its own ({code}), which was not run: read with transformers' own class"]
    return [f"code that came with the weights was run ({code})"]


def relation(
    name: str, reference: str, said: Declared, weights: Fetched, any_base: bool, compared_with: Fetched | None = None
) -> tuple[str, ...]:
    """What is to be said of a candidate's own words about its base and its kind.

    Args:
        name: the candidate's.
        reference: what it is, fit for publishing.
        said: what it declares.
        weights: the base's.
        any_base: whether it may declare another base.
        compared_with: what it is compared with in place of the base, which it may declare as well: not for an adapter,
            which goes over these very weights.

    Raises:
        ToxauditError: if it declares another base, and that is not allowed by ``any_base``.
    """
    notes = []
    kind = said.found or "adapter"
    if said.kind and said.kind != kind:
        notes.append(f"its card calls it {_a(said.kind)}, its files are those of {_a(kind)}")
    fit = [weights, *([compared_with] if compared_with else [])]
    matches = (is_base(each, own.reference, own.revision is not None) for each in said.bases for own in fit)
    if not said.bases:
        notes.append("it declares no base")
    elif not any(matches) and not any(_renamed(each, own) for each in said.bases for own in fit):
        named = " and ".join(_told(each, weights.reference) for each in said.bases)
        if not any_base:
            raise ToxauditError(
                f"candidates.{name}: {reference} declares the base {named}, not {weights.reference}: name its own "
                "base, or set allow_base_mismatch: true to audit it all the same."
            )
        notes.append(f"it declares the base {named}, and was audited against {weights.reference} all the same")
    return tuple(notes)


def _told(name: str, other: str) -> str:
    """A declared name, with the signs that are not seen where these alone tell it from another."""
    return ascii(name) if "".join(filter(str.isprintable, name)) == other else name


def _renamed(declared_base: str, base: Fetched) -> bool:
    """Whether the Hub knows the base by that name, too: a former one. Where it can't be asked, it does not."""
    if base.revision is None or declared_base.count("/") != 1:
        return False
    reference = "/".join(base.reference.split("/")[:2])
    try:
        one, other = (HubSource(each).facts(timeout=10).name for each in (declared_base, reference))
    except ToxauditError:
        return False
    return one == other


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind == "adapter" else f"a {kind} model" if kind == "quantized" else f"a {kind}"
