"""A server on loopback that speaks the part of the Hub's protocol that the real client uses, and
that fails in every way a test asks for."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40
OTHER_COMMIT = "b" * 40


@dataclass
class Hub:
    """What the server holds and how it misbehaves.

    Attributes:
        files: (repo, commit, name) → content.
        digests: the same → sha256.
        heads: repo → commit of its main branch.
        status: answer every request with this code, if set.
        stall: seconds to wait before every answer.
        corrupt: send other bytes of the same length.
        cut_after: close the first connection that sends content after so many bytes.
        token: required as a bearer token, if set.
        requests: what was asked, in order.
    """

    files: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    digests: dict[tuple[str, str, str], str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    status: int = 0
    stall: float = 0
    corrupt: bool = False
    cut_after: int = 0
    token: str = ""
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def add(self, repo: str, name: str, content: bytes, commit: str = COMMIT) -> None:
        self.files[repo, commit, name] = content
        self.digests[repo, commit, name] = hashlib.sha256(content).hexdigest()  # once: a client waits a second
        self.heads[repo] = commit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub = self.hub
        hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
        time.sleep(hub.stall)
        if hub.status:
            return self._send(hub.status, b"", {"X-Error-Message": "on purpose"}, body)
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body)
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(match[1], match[2], match[3], body)
        return self._send(404, b"", {}, body)

    def _file(self, repo: str, commit: str, name: str, body: bool) -> None:
        if repo not in self.hub.heads:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        if commit == "main":
            commit = self.hub.heads[repo]
        if not any((r, c) == (repo, commit) for r, c, _ in self.hub.files):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        content = self.hub.files.get((repo, commit, name))
        if content is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        digest = self.hub.digests[repo, commit, name]
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{digest[:40] if name.endswith(".toml") else digest}"',  # small text files are no LFS objects
            "X-Linked-Size": str(len(content)),
            "Accept-Ranges": "bytes",
        }
        status = 200
        if self.hub.corrupt:
            content = bytes(len(content))
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        cut, self.hub.cut_after = (self.hub.cut_after, 0) if body else (0, self.hub.cut_after)
        return self._send(status, content, headers, body, cut)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool, cut: int = 0) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        try:
            self.wfile.write(content[:cut] if cut else content)
        except OSError:
            self.close_connection = True
        if cut:
            self.close_connection = True


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Run the server while the block lasts; `hub.endpoint` is its address."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
