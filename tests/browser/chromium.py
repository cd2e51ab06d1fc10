"""A headless Chromium, driven over a pipe by its DevTools protocol, and killed when asked."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--window-size=900,700",
]
ANSWER_S = 120.0


class PageError(Exception):
    """JavaScript or Python raised in the page."""


class Chromium:
    """One browser process with its profile; `kill` ends it as a crash of the machine would."""

    def __init__(self, program: str, profile: Path) -> None:
        self.profile = profile
        to_browser, self._write_fd = os.pipe()
        self._read_fd, from_browser = os.pipe()
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []
        """What the browser told and nobody has asked for yet."""

        def on_fds_3_and_4() -> None:
            # First to high numbers: one of the pipe's ends may be 3 or 4 itself.
            for number, fd in ((100, to_browser), (101, from_browser)):
                os.dup2(fd, number)
            os.dup2(100, 3)
            os.dup2(101, 4)

        profile.mkdir(exist_ok=True)
        self._log = (profile / "log").open("ab")
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile / 'data'}", "about:blank"],
            preexec_fn=on_fds_3_and_4,
            close_fds=False,
            start_new_session=True,
            stdout=self._log,
            stderr=self._log,
        )
        os.close(to_browser)
        os.close(from_browser)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Call a method of the protocol; return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write_fd, data) :]
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Return the next message. Raises TimeoutError, or EOFError if the browser has ended."""
        end = time.monotonic() + timeout_s
        while b"\0" not in self._buffer:
            if not select.select([self._read_fd], [], [], max(0.0, end - time.monotonic()))[0]:
                said = [e["params"]["args"] for e in self.events if "consoleAPI" in e["method"]]
                log = (self.profile / "log").read_text(errors="replace")[-1000:]
                raise TimeoutError(f"no answer; last on the console: {said[-1:]}; logged: {log}")
            data = os.read(self._read_fd, 1 << 16)
            if not data:
                raise EOFError("the browser has ended")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def page(self, url: str) -> Page:
        """Open a page and wait until it is loaded; Python may not be yet."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        page.call("Runtime.enable")
        page.call("Page.enable")
        page.go(url)
        return page

    def wait(self, method: str, session: str) -> dict[str, Any]:
        """Return the parameters of the next event of a name in a page."""
        for event in self.events:
            if (event.get("method"), event.get("sessionId")) == (method, session):
                self.events.remove(event)
                return event["params"]  # type: ignore[no-any-return]
        while True:
            event = self.receive()
            if (event.get("method"), event.get("sessionId")) == (method, session):
                return event["params"]  # type: ignore[no-any-return]
            self.events.append(event)

    def kill(self) -> None:
        """End all its processes at once, by SIGKILL."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for fd in (self._write_fd, self._read_fd):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._log.close()


class Page:
    """A tab."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser = browser
        self.session = session
        self._target = target

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, self.session, **parameters)

    def go(self, url: str) -> None:
        """Load another page and wait for that."""
        self.call("Page.navigate", url=url)
        self._browser.wait("Page.loadEventFired", self.session)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited. Raises PageError."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def python(self, code: str) -> Any:
        """Run Python in the page, `await` at the top included; return its last value, by JSON."""
        text = self.evaluate(f"window.run({json.dumps(code)})")
        return None if text is None else json.loads(text)

    def start(self, code: str) -> None:
        """Run Python in the page without waiting for its end."""
        self.evaluate(f"void window.run({json.dumps(code)})")

    def screenshot(self) -> bytes:
        """Return what is to be seen, as PNG."""
        found = self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)
