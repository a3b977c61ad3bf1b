"""Chromium without a window, told what to do over a pipe; nothing but the standard library is needed."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
PATIENCE = 120.0  # seconds: other tests run beside


def require_browser() -> str:
    """Return the path of a browser, or skip the test."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    return found


class Page:
    """A page in a browser.

    Attributes:
        problems: What the browser has complained of: errors of scripts, and what it has refused.
        asked: The addresses that it has loaded something from, pages themselves among them.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing, self.buffer = reading, writing, b""
        self.numbers, self.session, self.problems, self.asked = itertools.count(1), None, [], set()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        number = next(self.numbers)
        session = {"sessionId": self.session} if self.session else {}
        message = json.dumps({"id": number, "method": method, "params": params, **session})
        os.write(self.writing, message.encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._note(told)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            assert select.select([self.reading], [], [], max(0, end - time.monotonic()))[0], "the browser is silent"
            read = os.read(self.reading, 2**20)
            assert read, "the browser has ended"
            self.buffer += read
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, told: dict[str, Any]) -> None:
        method, params = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(params["args"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"])
        elif method == "Network.requestWillBeSent":
            self.asked.add(params["request"]["url"])

    def open(self, path: Path, address: str = "") -> None:
        """Open a file from disk, at an address in it, and wait until it is drawn."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"{path.resolve().as_uri()}{address}")
        self.wait("document.readyState === 'complete' && document.querySelector('#main > *') !== null")
        self.settle()

    def settle(self) -> None:
        """Wait until what the page was told has been drawn, and it has heard of sizes and of scrolling."""
        self.get("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def get(self, expression: str) -> Any:
        """Return the value of an expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.get(f"Boolean({expression})"):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector finds."""
        return self.get(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent)")

    def click(self, selector: str, having: str = "") -> None:
        """Click on the first element that a selector finds and that has a text."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        self.get(f"{found}.find((one) => one.textContent.includes({json.dumps(having)})).click()")

    def point(self, selector: str) -> None:
        """Move the pointer over an element."""
        box = self.get(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def choose(self, label: str, option: str) -> None:
        """Choose an option of the list that has a label."""
        field = (
            f"[...document.querySelectorAll('label')].find((one) => one.textContent.startsWith({json.dumps(label)}))"
        )
        option = f"[...list.options].find((one) => one.text === {json.dumps(option)}).value"
        self.get(
            f"(() => {{ const list = {field}.querySelector('select'); list.value = {option};"
            " list.dispatchEvent(new Event('change')); })()"
        )

    def press(self, key: str) -> None:
        """Press a key, named as in the event that a page gets of it."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "End": 35, "Home": 36}
        known = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **known, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def write(self, selector: str, text: str) -> None:
        """Write text into a field, in place of what is there."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.get(f"{field}.focus(), {field}.select()")
        self.call("Input.insertText", text=text)

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Give the page a width, and the colours that its reader likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Start a browser that keeps its things in ``folder``, and end it with the block."""
    program = require_browser()
    (child_reads, writing), (reading, child_writes) = os.pipe(), os.pipe()
    script = f'exec "$0" "$@" 3<&{child_reads} 4>&{child_writes}'
    command = ["bash", "-c", script, program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        command, pass_fds=(child_reads, child_writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(child_reads), os.close(child_writes)
    try:
        yield Page(reading, writing)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(reading), os.close(writing)
