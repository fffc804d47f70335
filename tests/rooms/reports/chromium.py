"""A page in headless Chromium over its debugging pipe: what it asks for, what goes wrong in it, what axe finds.

No driver package: the DevTools protocol over two pipes is JSON with a zero byte after each message.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import platformdirs
from tests.journeys import inspector

AXE = "4.10.3"
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-component-update", "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def found() -> str | None:
    """Where a Chromium is, or None."""
    return next((place for name in _NAMES if (place := shutil.which(name))), None)


class Chromium:
    """One browser with one page. Every wait has a deadline."""

    def __init__(self, binary: str, profile: Path) -> None:
        into, self._write = os.pipe()
        self._read, out = os.pipe()
        # The browser reads commands from descriptor 3 and writes to 4.
        flags = " ".join((*_FLAGS, f"--user-data-dir={profile}"))
        command = f"exec {binary} {flags} about:blank 3<&{into} 4>&{out}"
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command], pass_fds=(into, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(into)
        os.close(out)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    _session: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.kill()
        self._process.wait(10)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its result; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._message(60)
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return reply["result"]
            self.events.append(reply)

    def open(self, file: Path, *, dark: bool = False, width: int = 1280, height: int = 900) -> None:
        """Show a file and wait until it is loaded."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="screen", features=features)
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.send("Page.navigate", url=file.as_uri())
        until = time.monotonic() + 60
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message(max(0.1, until - time.monotonic())))

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        done = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def asked(self) -> list[str]:
        """The addresses that the page asked for since it was opened, its own file left out."""
        asked = [one["params"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in asked if not one["request"]["url"].startswith("file:")]

    def errors(self) -> list[str]:
        """What went wrong in the page: exceptions, refused loads, error lines of its console."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in kinds]

    def hover(self, selector: str) -> None:
        """Move the mouse over an element."""
        place = self.run(
            f"(() => {{const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2];})()"
        )
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])

    def press(self, key: str) -> None:
        """Press a key."""
        code = {"Tab": 9}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, **clip: float) -> bytes:
        """A PNG of the page."""
        given = {"clip": {"scale": 1, **clip}} if clip else {}
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", **given)["data"])

    def axe(self, script: str) -> list[dict[str, Any]]:
        """What axe finds wrong in the page; the page's own policy does not bind the debugger."""
        self.run(f"{script};0")
        found = self.run("axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations))")
        return json.loads(found)

    def _message(self, within: float) -> dict[str, Any]:
        until = time.monotonic() + within
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"Chromium said nothing within {within:.0f} s"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def axe() -> str:
    """axe-core's script. Raises inspector.Unreachable."""
    place = Path(platformdirs.user_cache_dir("spadework-tests")) / f"axe-{AXE}"
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not script.exists():
            (place / "package.json").write_text("{}")
            inspector.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", f"axe-core@{AXE}", place=place)
    return script.read_text(encoding="utf-8")
