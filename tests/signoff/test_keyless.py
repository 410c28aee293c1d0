"""Decisions are signed without a key, by the real client of Sigstore against an instance on this machine."""

import base64
import json
import random
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import signing
import sigstore_server as local
from signing import ANN
from test_policy_of_signers import failed as failed_by_keys
from test_policy_of_signers import run as under_policy

from toxaudit.cli.main import main
from toxaudit.decision.gate import MarginGate
from toxaudit.errors import ToxauditError
from toxaudit.results.reading import read_result
from toxaudit.signoff import envelopes, record

pytest.importorskip("sigstore")

ASKED = ["--identity", "ann@example.org", "--issuer", local.FOR_MAIL]
CI = ["--identity", local.WORKFLOW, "--issuer", local.FOR_WORKFLOWS]
ENVELOPES = "decision.intoto.jsonl"
FLIPS = 150


@pytest.fixture(scope="module")
def sigstore():
    with local.serving() as made:
        yield made


@pytest.fixture
def trust(sigstore, world, monkeypatch):
    """The words that name the instance; in the environment of a CI job is what it knows Ann by."""
    sigstore.refused.clear()
    sigstore.silent.clear()
    sigstore.asked.clear()
    for name in ("GITHUB_ACTIONS", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    logged_in(monkeypatch)
    return ["--trust-config", str(sigstore.trust(world.folder / "trust.json"))]


def logged_in(monkeypatch, **who):
    """A job of GitLab's, which gives its token so."""
    monkeypatch.setenv("GITLAB_CI", "1")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", local.token(**who))


def sign(run, trust, *words):
    return main(["signoff", str(run), "--keyless", *trust, *words])


def verified(capsys, run, *words):
    """The exit code and the lines of a check."""
    capsys.readouterr()
    code = main(["verify", str(run), *map(str, words)])
    out, error = capsys.readouterr()
    assert code == 3 or not error
    return code, error if code == 3 else out


def test_what_somebody_signs_who_is_logged_in_holds_for_who_knows_them(world, trust, sigstore, capsys):
    run = world.run()
    assert sign(run, trust, "--approve") == 0
    out = capsys.readouterr().out
    assert f"Next: toxaudit verify {run} --identity ann@example.org --issuer {local.FOR_MAIL}" in out
    assert sigstore.asked == ["/api/v2/signingCert", "/api/v1/log/entries"]
    sigstore.asked.clear()
    code, out = verified(capsys, run, *ASKED, *trust)
    assert code == 0 and "1 of 1 needed signatures are by keys or identities that were given" in out
    assert "passed  signature: ann@example.org signed on" in out and not sigstore.asked
    said = f"Signed by ann&#64;example.org by Sigstore as `ann@example.org`, for whom `{local.FOR_MAIL}` vouches, on "
    for name in ("card.md", "summary.md", "model_card.md"):
        assert said in (run / name).read_text()
    assert (
        f"as <code>ann@example.org</code>, for whom <code>{local.FOR_MAIL}</code> vouches"
        in (run / "report.html").read_text()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "UNKNOWN IDENTITY: give it by --identity and --issuer to have it checked"),
        (["--identity", "eve@example.org", "--issuer", local.FOR_MAIL], "UNKNOWN IDENTITY"),
        (["--identity", "ann@example.org", "--issuer", "https://evil.example.org"], "UNKNOWN IDENTITY"),
    ],
)
def test_an_identity_or_an_issuer_that_nobody_gave_counts_for_nothing(words, said, world, trust, capsys):
    run = world.run()
    sign(run, trust, "--approve")
    code, out = verified(capsys, run, *words, *trust)
    assert code == 1 and said in out and "FAILED  threshold: 0 of 1 needed signatures are by " in out


def test_the_commands_of_the_page_do_what_it_says(world, trust, monkeypatch, capsys):
    monkeypatch.chdir(world.folder)
    shutil.copytree(world.finished / "go", "runs/mine")
    page = (Path(__file__).parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert [main([*shlex.split(line)[1:], *trust]) for line in commands.splitlines()] == [0, 0]


@pytest.mark.thorough
def test_keys_and_people_without_sign_one_decision(world, trust, sigstore, monkeypatch, capsys):
    run = world.run()
    signing.signed(run, world.bob, "--approve", "--threshold", "3", name=signing.BOB)
    assert sign(run, trust, "--as", ANN) == 0
    monkeypatch.delenv("GITLAB_CI")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{sigstore.url}/token")
    assert sign(run, trust) == 0
    found = record.read(run / "decision.json")
    assert [each.who for each in found.signers] == [
        found.signers[0].key,
        f"ann@example.org {local.FOR_MAIL}",
        f"{local.WORKFLOW} {local.FOR_WORKFLOWS}",
    ]
    by_key = ["--key", f"{world.bob}.pub"]
    assert verified(capsys, run, *by_key, *ASKED, *CI, *trust)[0] == 0
    code, out = verified(capsys, run, *by_key, *ASKED, *trust)
    assert code == 1 and "FAILED  threshold: 2 of 3" in out
    before = (run / ENVELOPES).read_bytes()
    assert sign(run, trust) == 0
    assert "has signed this decision already: nothing was written." in capsys.readouterr().out
    assert (run / ENVELOPES).read_bytes() == before


@pytest.mark.thorough
def test_a_policy_names_people_without_a_key(world, trust, monkeypatch, capsys):
    named = [f"{local.WORKFLOW} {local.FOR_WORKFLOWS}", f"ann@example.org {local.FOR_MAIL}"]
    run = under_policy(world, signatures=1, signers=named, ran_by=named[0])
    rule = read_result(run).gate.rule.replace("\xa0", " ")
    assert f"by {local.WORKFLOW} ({local.FOR_WORKFLOWS}), ann@example.org ({local.FOR_MAIL}), and not https" in rule
    logged_in(monkeypatch, identity="eve@example.org")
    sign(run, trust, "--approve")
    eve = ["--identity", "eve@example.org", "--issuer", local.FOR_MAIL]
    code, out = verified(capsys, run, *eve, *ASKED, *trust)
    assert code == 1 and "the policy does not name this identity" in out
    logged_in(monkeypatch, identity=local.WORKFLOW, issuer=local.FOR_WORKFLOWS)
    sign(run, trust)
    code, out = verified(capsys, run, *CI, *trust)
    assert code == 1 and "FAILED  not alone: 0 of them are by others" in out
    logged_in(monkeypatch)
    sign(run, trust)
    assert verified(capsys, run, *CI, *ASKED, *trust)[0] == 0
    assert failed_by_keys(capsys, run, world.ann)[0].startswith("threshold: 0 of 1")


@pytest.mark.parametrize("odd", ["ann@example.org", "ann@example.org http://x", "a b https://x", " https://x"])
def test_who_is_named_by_half_is_refused_by_the_policy(odd):
    with pytest.raises(ToxauditError, match="gate.signers holds .*, or 'IDENTITY ISSUER' of who signs by Sigstore"):
        MarginGate(signers=[odd]).check()


def bundle_of(run: Path) -> dict:
    return json.loads((run / ENVELOPES).read_text().splitlines()[1])


def put(run: Path, bundle: dict) -> None:
    first = (run / ENVELOPES).read_text().splitlines()[0]
    (run / ENVELOPES).write_text(f"{first}\n{json.dumps(bundle)}\n")


def by_another_instance(bundle, run):
    """The same statement and the same claims, certified and logged by somebody else's Sigstore."""
    with local.serving() as eve:
        from toxaudit.signoff import keyless

        file = eve.trust(run / "eve.json")
        statement = envelopes.bundled(json.dumps(bundle)).statement
        return keyless.log_in(file).sealed(statement).bundle


def another_statement(bundle, run):
    inner = bundle["dsseEnvelope"]
    payload = base64.b64decode(inner["payload"]).replace(b'"name": "ann', b'"name": "Ann')
    return bundle | {"dsseEnvelope": inner | {"payload": base64.b64encode(payload).decode()}}


def without_its_log(bundle, run):
    return bundle | {"verificationMaterial": bundle["verificationMaterial"] | {"tlogEntries": []}}


def without_its_certificate(bundle, run):
    return bundle | {"verificationMaterial": bundle["verificationMaterial"] | {"certificate": {}}}


def cut_off(bundle, run):
    return {"dsseEnvelope": bundle["dsseEnvelope"]}


def with_a_comment(bundle, run):
    return bundle | {"comment": "hello"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (by_another_instance, "FAILED  signature: ann@example.org: "),
        (another_statement, "FAILED  signature: Ann@example.org: DSSE: invalid signature"),
        (without_its_log, "FAILED  signature: ann@example.org: expected exactly one log entry in bundle"),
        (without_its_certificate, "FAILED  record: The certificate of a bundle does not say who signed"),
        (cut_off, "FAILED  record: The certificate of a bundle does not say who signed"),
        (with_a_comment, "FAILED  signature: ann@example.org: "),
    ],
)
def test_a_bundle_that_was_changed_or_is_anothers_fails(change, said, world, trust, capsys):
    run = world.run()
    sign(run, trust, "--approve")
    put(run, change(bundle_of(run), run))
    code, out = verified(capsys, run, *ASKED, *trust)
    assert code == 1 and said in out


@pytest.mark.thorough
def test_a_flipped_bit_of_a_bundle_fails_or_is_none_that_anybody_signs(world, trust, capsys):
    """Nobody signs how the log calls itself beside the signature of its state, nor how it is said what is empty."""
    run = world.run()
    sign(run, trust, "--approve")
    file, rng, unseen = run / ENVELOPES, random.Random(17), []
    data = file.read_bytes()
    start = data.index(b"\n") + 1
    unsigned = re.compile(rb'\\u2014.*?\\n|"timestampVerificationData": \{[^}]*\}|"hashes": \[\]')
    free = {at for found in unsigned.finditer(data) for at in range(*found.span())}
    for _ in range(FLIPS):
        at, bit = rng.randrange(start, len(data)), 1 << rng.randrange(8)
        file.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        if verified(capsys, run, *ASKED, *trust)[0] != 1 and at not in free:
            unseen.append((at, data[at - 30 : at + 30]))
    assert not unseen


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v2/signingCert", "Sigstore did not let you sign ("),
        ("/api/v1/log/entries", "Sigstore did not let you sign (500: refused"),
    ],
)
def test_a_refusal_is_one_sentence_and_nothing_is_written(path, said, world, trust, sigstore, capsys):
    run = world.run()
    sigstore.refused[path] = 500
    assert sign(run, trust, "--approve") == 3
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (run / "decision.json").exists()


@pytest.mark.parametrize("path", ["/api/v2/signingCert", "/api/v1/log/entries"])
def test_a_server_that_never_answers_is_not_waited_for_for_ever(path, world, trust, sigstore, monkeypatch, capsys):
    monkeypatch.setattr("toxaudit.signoff.keyless.SILENCE_SECONDS", 0.2, raising=False)
    run = world.run()
    sigstore.silent.add(path)
    assert sign(run, trust, "--approve") == 3
    error = capsys.readouterr().err
    assert "Sigstore could not be reached (timed out): check the connection" in error and error.count("\n") == 1
    assert sigstore.asked[-1] == path and not (run / "decision.json").exists()


def test_without_a_network_nothing_is_written(world, trust, capsys):
    with local.serving() as gone:
        file = gone.trust(world.folder / "gone.json")
    run = world.run()
    assert sign(run, ["--trust-config", str(file)], "--approve") == 3
    error = capsys.readouterr().err
    assert "Sigstore could not be reached (" in error and error.count("\n") == 1
    assert not (run / "decision.json").exists()


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"lasts": -60}, "Sigstore did not let you log in (Identity token is malformed or missing claims"),
        ({"audience": "others"}, "Sigstore did not let you log in (Token audience claim mismatch"),
    ],
)
def test_a_token_that_does_not_serve_is_one_sentence(who, said, world, trust, monkeypatch, capsys):
    logged_in(monkeypatch, **who)
    assert sign(world.run(), trust, "--approve") == 3
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_without_a_token_and_a_terminal_nobody_is_asked(world, trust, monkeypatch, capsys):
    monkeypatch.delenv("GITLAB_CI")
    assert sign(world.run(), trust, "--approve") == 3
    assert "There is neither a token of a CI job" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves its socket open
def test_at_a_terminal_somebody_logs_in_by_a_browser(world, trust, monkeypatch, capsys):
    monkeypatch.delenv("GITLAB_CI")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("webbrowser.open", lambda address: requests.get(address, timeout=10).ok)
    run = world.run()
    assert sign(run, trust, "--approve") == 0
    assert main(["verify", str(run), *ASKED, *trust]) == 0


def test_a_job_that_may_not_have_a_token_is_told_so(world, trust, monkeypatch, capsys):
    monkeypatch.delenv("GITLAB_CI")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    assert sign(world.run(), trust, "--approve") == 3
    assert "missing or insufficient OIDC token permissions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["signoff", "RUN", "--keyless", "--key", "ann", "--approve"], "--keyless and a key can't both be meant"),
        (["signoff", "RUN", "--keyless", "--passphrase-env", "X"], "--keyless and a key can't both be meant"),
        (["signoff", "RUN", "--approve"], "Write `toxaudit signoff RUN"),
        (["signoff", "RUN", "--key", "ann", "--approve"], "Write `toxaudit signoff RUN"),
        (["signoff", "RUN", "--as", ANN, "--key", "ann", "--trust-config", "x"], "--trust-config is for --keyless"),
        (["signoff", "RUN", "--keyless", "--trust-config", "none"], "none is no trust configuration of Sigstore"),
        (["verify", "RUN", "--identity", "ann@example.org"], "--identity and --issuer go together"),
        (["verify", "RUN", *ASKED, "--trust-config", "none"], "none is no trust configuration of Sigstore"),
    ],
)
def test_a_mistake_is_one_sentence(words, said, world, trust, capsys):
    run = world.run()
    assert main([str(run) if word == "RUN" else word for word in words]) == 3
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_without_the_extra_keys_serve_and_the_rest_says_what_to_install(world, trust, monkeypatch, capsys):
    run = world.run()
    signing.signed(run, world.bob, "--approve", name=signing.BOB)
    sign(run, trust)
    monkeypatch.setattr("toxaudit.signoff.keyless.find_spec", lambda name: None)
    for name in [each for each in sys.modules if each.partition(".")[0] == "sigstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    code, out = verified(capsys, run, "--key", f"{world.bob}.pub")
    assert code == 0 and "UNKNOWN IDENTITY" in out
    for words in (["verify", str(run), *ASKED], ["signoff", str(run), "--keyless"]):
        assert main(words) == 3
        assert "pip install 'toxaudit[sigstore]'" in capsys.readouterr().err


def test_the_public_instance_is_what_counts_unless_another_is_named(world, trust, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = world.run()
    sign(run, trust, "--approve")
    code, out = verified(capsys, run, *ASKED)
    assert code == 1 and "FAILED  signature: ann@example.org: " in out
