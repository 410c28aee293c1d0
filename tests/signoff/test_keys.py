"""Keys: made once, for their owner alone, and refused in one sentence where they can't sign."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from toxaudit.cli import signoff
from toxaudit.cli.main import main
from toxaudit.signoff import keys


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("toxaudit: ")


@pytest.mark.parametrize("kind", keys.KINDS)
def test_a_key_is_its_owners_alone_and_known_by_the_digest_of_its_der_form(kind, tmp_path, capsys):
    assert main(["keygen", str(tmp_path / "k"), "--kind", kind]) == 0
    told = capsys.readouterr().out
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", tmp_path / "k.pub", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert f"Fingerprint: {sha256(der).hexdigest()}" in told
    assert keys.signing_key(tmp_path / "k", lambda: None).fingerprint == sha256(der).hexdigest()


def test_a_folder_is_no_name_of_a_key(capsys):
    assert refused(capsys, "keygen", ".") == "'.' is a folder: name the file of the private key, such as release.key."


@pytest.mark.parametrize("there", ["k", "k.pub"])
def test_no_key_is_ever_overwritten(there, tmp_path, capsys):
    (tmp_path / there).write_text("mine")
    assert refused(capsys, "keygen", tmp_path / "k").startswith(f"{tmp_path / there} exists already")
    assert [each.name for each in tmp_path.iterdir()] == [there] and (tmp_path / there).read_text() == "mine"


def test_a_key_that_openssl_made_signs(tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k"], check=True)
    (tmp_path / "k").chmod(0o600)
    assert len(keys.signing_key(tmp_path / "k", lambda: None).fingerprint) == 64


@pytest.mark.parametrize("how", ["file", "env"])
def test_a_passphrase_protects_a_key(how, tmp_path, monkeypatch, capsys):
    (tmp_path / "right").write_bytes(b"s\xc3\xa9same\r\nsecond line")
    (tmp_path / "wrong").write_text("other")
    monkeypatch.setenv("RIGHT", "sésame")
    words = {"file": ["--passphrase-file", tmp_path / "right"], "env": ["--passphrase-env", "RIGHT"]}[how]
    assert main(["keygen", str(tmp_path / "k"), *map(str, words)]) == 0
    assert b"ENCRYPTED" in (tmp_path / "k").read_bytes()
    assert keys.signing_key(tmp_path / "k", lambda: "sésame".encode()).fingerprint
    sign = ["signoff", "nowhere", "--as", "A <a@b>", "--key", tmp_path / "k"]
    assert "the passphrase is another" in refused(capsys, *sign, "--passphrase-file", tmp_path / "wrong")
    assert "has a passphrase, and nobody can be asked" in refused(capsys, *sign)
    assert "There is no nowhere/results.json" in refused(capsys, *sign, *words)


def test_the_terminal_asks_twice_for_a_new_passphrase_and_once_for_a_known_one(tmp_path, monkeypatch, capsys):
    told = iter(["one", "other", "one", "one", "one"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(signoff.getpass, "getpass", lambda prompt: next(told))
    assert refused(capsys, "keygen", tmp_path / "k") == "The two passphrases differ: nothing was made."
    assert not list(tmp_path.iterdir())
    assert main(["keygen", str(tmp_path / "k")]) == 0
    assert "nowhere" in refused(capsys, "signoff", "nowhere", "--as", "A <a@b>", "--key", tmp_path / "k")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--passphrase-file", "gone"], "gone: No such file or directory."),
        (["--passphrase-env", "GONE"], "The environment has no GONE, or it is empty: set it to the passphrase."),
        (["--passphrase-env", "A", "--passphrase-file", "b"], "--passphrase-file and --passphrase-env can't both be"),
        (["--kind", "rsa"], "There is no kind 'rsa' of keys. Choose from: ecdsa, ed25519."),
    ],
)
def test_words_of_keygen_that_cant_be_meant(words, sentence, tmp_path, capsys):
    assert refused(capsys, "keygen", tmp_path / "k", *words).startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_keys_that_cant_sign_are_refused(tmp_path, capsys):
    made = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    good = tmp_path / "good"
    keys.generate(good, "ed25519", None)
    for name, data, sentence in (
        ("rsa", made, "is no Ed25519 or ECDSA key"),
        ("cut", good.read_bytes()[:60], "it is damaged, or of another form"),
        ("text", b"hello", "is no private key"),
        ("long", b"-" * 70_000, "is no key, for it is larger than any"),
    ):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
        assert sentence in refused(capsys, "signoff", "run", "--as", "A <a@b>", "--key", tmp_path / name)
    assert "No such file" in refused(capsys, "signoff", "run", "--as", "A <a@b>", "--key", tmp_path / "gone")
    good.chmod(0o640)
    assert refused(capsys, "signoff", "run", "--as", "A <a@b>", "--key", good).endswith(f"chmod 600 {''}it.")
    (tmp_path / "results.json").write_text("{}")
    assert "is a private key, which nobody needs" in refused(capsys, "verify", tmp_path, "--key", good)
    assert "is no public key" in refused(capsys, "verify", tmp_path, "--key", tmp_path / "text")


def test_a_curve_or_kind_that_signs_nothing_is_no_public_key(tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", tmp_path / "k"], check=True)
    pub = subprocess.run(["openssl", "pkey", "-in", tmp_path / "k", "-pubout"], check=True, capture_output=True).stdout
    (tmp_path / "k.pub").write_bytes(pub)
    with pytest.raises(keys.ToxauditError, match="is no Ed25519 or ECDSA key"):
        keys.public_key(Path(tmp_path / "k.pub"))
