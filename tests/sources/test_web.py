"""Files on the web are fetched over HTTP from a real server, once, and only with the pinned content."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError
from toxaudit.pinning import lock, lock_file
from toxaudit.pinning.references import pin
from toxaudit.planning.expected import on_this_machine
from toxaudit.sources import parse
from toxaudit.sources import web as web_source
from toxaudit.spec.schema import AuditSpec, ModelSpec
from toxaudit.suites.dataset import Dataset

PROMPTS = b'{"prompt": "One"}\n{"prompt": "Two"}\n'
SHA = sha256(PROMPTS).hexdigest()


class Web:
    """A running server: its address, what was asked, and what each path answers: status, headers and body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {"/a/prompts.jsonl": (200, {}, PROMPTS)}


@contextmanager
def serve() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.asked.append(self.path)
            status, headers, body = web.pages.get(self.path, (404, {}, b"none"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server, with the network allowed and a home for what is fetched."""
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serve() as web:
        yield web


def reference(web, path="/a/prompts.jsonl", sha=SHA):
    return f"{web.url}{path}#sha256={sha}"


def refusal(text):
    with pytest.raises(ToxauditError) as caught:
        parse(text).fetch()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def kept(tmp_path):
    return sorted(str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*") if path.is_file())


def test_a_file_is_fetched_with_its_content_and_name(web, tmp_path):
    fetched = parse(reference(web)).fetch()
    assert fetched.path.read_bytes() == PROMPTS
    assert (fetched.reference, fetched.revision) == (f"{web.url}/a/prompts.jsonl", None)
    assert fetched.digest == SHA and dict(fetched.files) == {"prompts.jsonl": SHA}
    assert kept(tmp_path) == [f"web/{SHA}/prompts.jsonl"]


def test_what_was_fetched_once_needs_no_network_again(web, monkeypatch):
    source = parse(reference(web))
    assert not source.cached()
    first = source.fetch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert source.cached() and source.fetch() == first
    assert web.asked == ["/a/prompts.jsonl"]


def test_a_suite_reads_it(web):
    suite = Dataset(title="Mine", data=reference(web))
    suite.check()
    drawn = suite.draw("mine")
    assert [prompt.text for prompt in drawn.prompts] == ["One", "Two"]
    assert suite.facts("mine", drawn).source == f"{web.url}/a/prompts.jsonl"


def test_a_lock_names_it_with_its_digest_and_a_plan_finds_it(web, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    suite = Dataset(title="Mine", data=reference(web))
    spec = AuditSpec(
        name="web", base=ModelSpec(pretrained=str(tmp_path / "base")), suites={"mine": suite}, backend=Transformers()
    )
    source = parse(reference(web))
    assert on_this_machine(source, ()) is None
    found = lock.entries(pin(spec))
    assert found["suites.mine.data"] == lock_file.Entry("web", reference(web), None, SHA, {"prompts.jsonl": SHA})
    assert on_this_machine(source, ()) == source.path
    known = lock_file.read(str(lock_file.write(tmp_path / "run", spec.name, found, {})))
    assert lock.verify(lock.pin(spec, known), known) == found
    suite.data = reference(web, sha="0" * 64)
    with pytest.raises(ToxauditError, match="#sha256=0{64} in the spec, but http://.*#sha256=" + SHA + " in the lock"):
        lock.pin(spec, known)


def test_a_name_in_a_url_may_be_escaped_and_a_query_is_part_of_it(web):
    web.pages["/my%20words.txt?raw=1"] = (200, {}, b"one")
    fetched = parse(reference(web, "/my%20words.txt?raw=1", sha256(b"one").hexdigest())).fetch()
    assert (fetched.path.name, fetched.path.read_text()) == ("my words.txt", "one")


def test_a_query_may_be_secret_and_is_neither_published_nor_told(web):
    signed = reference(web, "/a/prompts.jsonl?signature=secret")
    assert refusal(signed) == f"{web.url}/a/prompts.jsonl could not be had: 127.0.0.1 answers 404 Not Found."
    web.pages["/old?signature=secret"] = (302, {"Location": "http://example.org/a?signature=secret"}, b"")
    assert refusal(reference(web, "/old?signature=secret")).startswith(
        f"{web.url}/old leads to http://example.org/a, which is not encrypted"
    )
    web.pages["/a/prompts.jsonl?signature=secret"] = (200, {}, PROMPTS)
    assert parse(signed).shown == parse(signed).fetch().reference == f"{web.url}/a/prompts.jsonl"
    assert web.asked[-1] == "/a/prompts.jsonl?signature=secret"


def test_another_content_than_the_pinned_one_is_refused_and_nothing_kept(web, tmp_path):
    web.pages["/a/prompts.jsonl"] = (200, {}, PROMPTS + b"poisoned")
    found = sha256(PROMPTS + b"poisoned").hexdigest()
    assert refusal(reference(web)) == (
        f"{web.url}/a/prompts.jsonl is not the pinned file: its SHA-256 is {found}, not {SHA}."
    )
    assert not parse(reference(web)).cached() and not kept(tmp_path)
    web.pages["/a/prompts.jsonl"] = (200, {}, PROMPTS)
    assert parse(reference(web)).fetch().path.read_bytes() == PROMPTS


def test_what_was_changed_after_it_had_been_fetched_is_refused(web):
    fetched = parse(reference(web)).fetch()
    fetched.path.write_bytes(b"{}")
    assert refusal(reference(web)) == f"{fetched.path} was changed after it had been fetched: delete it."


@pytest.mark.parametrize(
    "status, said", [(404, "404 Not Found"), (403, "403 Forbidden"), (503, "503 Service Unavailable")]
)
def test_what_the_server_refuses_is_told(web, tmp_path, status, said):
    web.pages["/a/prompts.jsonl"] = (status, {}, PROMPTS)
    assert refusal(reference(web)) == f"{web.url}/a/prompts.jsonl could not be had: 127.0.0.1 answers {said}."
    assert not kept(tmp_path)


def test_a_file_may_have_moved(web):
    web.pages["/old"] = (302, {"Location": "/older"}, b"")
    web.pages["/older"] = (301, {"Location": f"{web.url}/a/prompts.jsonl"}, b"")
    fetched = parse(reference(web, "/old")).fetch()
    assert fetched.path.name == "old" and fetched.path.read_bytes() == PROMPTS
    assert web.asked == ["/old", "/older", "/a/prompts.jsonl"]


def test_a_redirect_to_an_unencrypted_host_is_refused_before_that_is_asked(web):
    web.pages["/old"] = (302, {"Location": "http://example.org/prompts.jsonl"}, b"")
    assert refusal(reference(web, "/old")) == (
        f"{web.url}/old leads to http://example.org/prompts.jsonl, which is not encrypted: "
        "name a URL that begins with https://."
    )


def test_a_redirect_in_circles_ends(web):
    web.pages["/old"] = (302, {"Location": "/old"}, b"")
    assert refusal(reference(web, "/old")) == f"{web.url}/old could not be had: it redirects more than 5 times."
    assert len(web.asked) == 6


def test_a_file_larger_than_the_limit_is_refused_while_it_comes(web, tmp_path, monkeypatch):
    monkeypatch.setattr("toxaudit.sources.web.LARGEST_BYTES", len(PROMPTS) - 1)
    assert refusal(reference(web)).startswith(f"{web.url}/a/prompts.jsonl is larger than ")
    monkeypatch.setattr("toxaudit.sources.web.LARGEST_BYTES", len(PROMPTS))
    assert not kept(tmp_path) and parse(reference(web)).fetch().path.is_file()


def test_a_connection_that_breaks_off_is_told_and_nothing_kept(web, tmp_path):
    web.pages["/a/prompts.jsonl"] = (200, {"Content-Length": "1000"}, PROMPTS)
    said = refusal(reference(web))
    assert said.startswith(f"{web.url}/a/prompts.jsonl could not be had (") and said.endswith(
        "check the connection and the disk."
    )
    assert not kept(tmp_path)


def test_content_that_is_packed_on_its_way_is_unpacked(web):
    web.pages["/a/prompts.jsonl"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(PROMPTS))
    assert parse(reference(web)).fetch().path.read_bytes() == PROMPTS


def test_a_host_out_of_reach_is_told(web):
    assert refusal(f"http://127.0.0.1:9/a.txt#sha256={SHA}").startswith("http://127.0.0.1:9/a.txt could not be had (")


def test_what_is_not_cached_is_refused_offline(web, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refusal(reference(web)) == (
        f"{web.url}/a/prompts.jsonl is not on this machine, and HF_HUB_OFFLINE forbids to fetch it: unset it."
    )
    assert not web.asked


@pytest.mark.parametrize("url", ["https://host/a.txt", "https://host/a.txt#", f"https://host/a.txt#{SHA}"])
def test_a_url_without_a_digest_is_told_what_to_write(url):
    with pytest.raises(ToxauditError) as caught:
        parse(url)
    assert str(caught.value) == (
        f"'{url}' doesn't say which content is meant: write https://host/a.txt#sha256=HEX, with the 64 hexadecimal "
        "digits of the file's SHA-256 in lower case."
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:/host/a.txt",
        "https:host/a.txt",
        "HTTPS://host/a.txt",
        "https://host",
        "https://host/",
        "https://host/..",
        "https://host/%2e%2e",
        "https://host/a%5Cb",
        "https://host/a%00b",
        "https://host/a b.txt",
        "https://host/é.txt",
        "https://hôst/a.txt",
        "https://a..b/a.txt",
        "https://host:99999/a.txt",
        "https://host:port/a.txt",
        "https://[bad/a.txt",
        "https://host/" + "a" * 201,
    ],
)
def test_what_names_no_file_is_refused(url):
    with pytest.raises(ToxauditError) as caught:
        parse(f"{url}#sha256={SHA}")
    assert str(caught.value).startswith(f"'{url[:50]}") and "is no file on the web: write https://HOST" in str(
        caught.value
    )


def test_an_unencrypted_url_is_refused():
    with pytest.raises(
        ToxauditError, match=r"^http://host/a.txt is not encrypted: name a URL that begins with https://"
    ):
        parse(f"http://host/a.txt#sha256={SHA}")


@pytest.mark.parametrize("user", ["me:secret@", "secret@", "me@you:secret@", "me:secr et@"])
def test_a_password_is_refused_and_not_repeated(user):
    with pytest.raises(ToxauditError) as caught:
        parse(f"https://{user}host/a.txt#sha256={SHA}")
    assert "a password" in str(caught.value) and "secret" not in str(caught.value)


def test_a_file_on_the_web_has_no_revision():
    with pytest.raises(ToxauditError, match="only a Hub id has revisions"):
        parse(f"https://host/a.txt#sha256={SHA}", "main")


def test_a_file_that_drips_is_not_waited_for(web, tmp_path, monkeypatch):
    monkeypatch.setattr(web_source, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(web_source, "SLOWEST", 10**12)
    assert refusal(reference(web)).endswith("could not be had: only 36 bytes of it came in 0 s.")
    assert not kept(tmp_path)
