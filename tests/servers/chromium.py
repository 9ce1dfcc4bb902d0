"""A real, headless Chromium that asks a real server one cross-origin request after the other."""

import asyncio
import contextlib
import json
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--enable-logging=stderr"),
)
_CONSOLE = re.compile(r'CONSOLE:\d+\] "(Access to .*)", source: ')
_SECONDS = 60.0
_ENDS = (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError)
# one script for the page and for a frame without an origin in it
_SCRIPT = """
async function ask(c) {
  try {
    const {url, method, headers, credentials} = c;
    const r = await fetch(url, {method, headers, credentials});
    return {status: r.status, headers: [...r.headers.keys()]};
  } catch (e) { return null; }
}"""
_PAGE = """<!doctype html><iframe sandbox="allow-scripts" srcdoc="<script>%(script)s
  onmessage = async e => parent.postMessage(await ask(e.data), '*');
  parent.postMessage('ready', '*');</script>"></iframe><script>%(script)s
const next = () => new Promise(
  done => addEventListener('message', e => done(e.data), {once: true}));
(async () => {
  await next();
  const frame = frames[0], found = [];
  for (const c of await (await fetch('/cases')).json()) {
    let answer;
    if (c.framed) { answer = next(); frame.postMessage(c, '*'); } else { answer = ask(c); }
    found.push(await answer);
  }
  await fetch('/found', {method: 'POST', body: JSON.stringify(found)});
})();</script>"""


@dataclass(frozen=True)
class Answer:
    """What the server says: each header as it stands, repeated ones too.

    In a value ``{page}``, ``{api}`` and ``{third}`` are origins, and ``{next}`` the next hop's
    path.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Case:
    """A script's request, and what each hop answers to the preflight and to the request.

    ``framed`` asks from a frame without an origin, ``at`` names the origin that is asked.
    """

    name: str
    hops: tuple[tuple[Answer, Answer], ...]
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Literal["omit", "same-origin", "include"] = "same-origin"
    framed: bool = False
    at: Literal["api", "page"] = "api"


@dataclass(frozen=True)
class Outcome:
    """What the script got, None when it was denied, and what the console said of it."""

    status: int | None
    headers: tuple[str, ...] = ()
    console: str = ""


class Sites:
    """A page, its API and a third site: one server on three ports of this machine."""

    def __init__(self, cases: Iterable[Case]) -> None:
        self.cases = list(cases)
        self.origins: dict[str, str] = {}
        self._found: asyncio.Future[list[Mapping[str, Any] | None]] = asyncio.Future()

    def url(self, number: int) -> str:
        """Where a case begins."""
        return f"{self.origins[self.cases[number].at]}/{number}/0"

    def _case(self, number: int) -> Mapping[str, Any]:
        case = self.cases[number]
        return {
            "url": self.url(number),
            "method": case.method,
            "headers": dict(case.headers),
            "credentials": case.credentials,
            "framed": case.framed,
        }

    def _own(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path == "/cases":
            listed = [self._case(number) for number in range(len(self.cases))]
            return "application/json", json.dumps(listed).encode()
        if path == "/found" and not self._found.done():
            self._found.set_result(json.loads(body))
        script = _SCRIPT.replace('"', "'")
        return "text/html", (_PAGE % {"script": script}).encode()

    def _said(self, path: str, preflight: bool) -> tuple[str, bytes]:
        number, hop = map(int, path.strip("/").split("/"))
        answer = self.cases[number].hops[hop][0 if preflight else 1]
        known = {**self.origins, "next": f"/{number}/{hop + 1}"}
        lines = [f"{name}: {value.format(**known)}" for name, value in answer.headers]
        empty = answer.status in (204, 205, 304)
        return "\r\n".join((f"HTTP/1.1 {answer.status} X", *lines)), b"" if empty else b"{}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*_ENDS), closing(writer):
            while True:
                await self._reply(reader, writer)

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        body = await reader.readexactly(int(length[1])) if length else b""
        preflight = method == "OPTIONS" and "access-control-request-method:" in head.lower()
        if re.fullmatch(r"/\d+/\d+", path):
            start, content = self._said(path, preflight)
        else:
            kind, content = self._own(path, body)
            start = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}"
        end = f"\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write((start + end).encode("latin-1") + (b"" if method == "HEAD" else content))
        await writer.drain()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serves all three."""
        async with contextlib.AsyncExitStack() as stack:
            for name in ("page", "api", "third"):
                listener = socket.create_server(("127.0.0.1", 0))
                self.origins[name] = f"http://127.0.0.1:{listener.getsockname()[1]}"
                server = await asyncio.start_server(self._serve, sock=listener)
                await stack.enter_async_context(server)
            yield

    async def browse(self) -> list[Outcome]:
        """Lets Chromium ask all cases."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            profile, log = f"--user-data-dir={folder}", Path(folder, "log")
            with log.open("wb") as stream:
                browser = await asyncio.create_subprocess_exec(
                    *(CHROMIUM, *_FLAGS, profile, f"{self.origins['page']}/"),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=stream,
                )
                try:
                    async with asyncio.timeout(_SECONDS):
                        found = await self._found
                finally:
                    browser.terminate()
                    await browser.wait()
            console = _CONSOLE.findall(log.read_text(errors="replace"))
        return [
            Outcome(
                status=one["status"] if one else None,
                headers=tuple(one["headers"]) if one else (),
                console=next((t for t in console if f"'{self.url(number)}'" in t), ""),
            )
            for number, one in enumerate(found)
        ]
