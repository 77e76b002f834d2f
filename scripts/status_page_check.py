#!/usr/bin/env python3
"""The coordinator's status page, looked at in headless Chromium: `status_page_check.py URL [--screenshots DIR] [--requests N]`.

Checks that the page at URL shows a cluster that serves, that it loads nothing from elsewhere and breaks no rule of its own
content security policy, and that it can be used with a keyboard, by a screen reader, on a phone, in the dark and without
motion. Prints one line a check. Exit status: 0 when all hold, 1 when one does not, 77 where no Chromium is installed.
"""

import argparse
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]


class Browser:
    """Chromium, spoken to over a pair of pipes (the DevTools protocol, messages ended by a zero byte)."""

    def __init__(self, program, profile):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def connect():
            # Chromium reads from descriptor 3 and writes to 4; both pairs are moved out of the way first.
            high_in, high_out = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
             "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=connect, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.input, self.output, self.buffer, self.number = ours_in, ours_out, b"", 0
        self.events, self.session = [], None

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while True:
            answer = self.read(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def read(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.input], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.input, 1 << 16)
            if not piece:
                raise RuntimeError("Chromium has ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]:
            self.call(f"{domain}.enable")

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, expression, seconds=20):
        """Whether it becomes true in time: the page is asked anew with every frame it draws."""
        return self.evaluate(
            f"new Promise((done) => {{ const end = Date.now() + {seconds * 1000}; (function look() {{"
            f" if ({expression}) done(true); else if (Date.now() > end) done(false);"
            f" else setTimeout(look, 50); }})(); }})")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def media(self, **features):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def key(self, name, code):
        for kind in ["keyDown", "keyUp"]:
            text = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path):
        height = self.evaluate("Math.min(3000, Math.ceil(document.documentElement.scrollHeight))")
        width = self.evaluate("innerWidth")
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


# Contrast as WCAG 2 defines it, of every text that is seen against what lies under it.
CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const under = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("noscript")) continue;
    const style = getComputedStyle(node);
    const front = light(parse(node instanceof SVGElement ? style.fill : style.color)), back = light(under(node));
    const ratio = (Math.max(front, back) + .05) / (Math.min(front, back) + .05);
    if (ratio < worst[0]) worst = [ratio, walker.currentNode.textContent.trim().slice(0, 40)];
  }
  return worst;
})()"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--screenshots", metavar="DIR", help="where to leave pictures of the page")
    parser.add_argument("--requests", type=int, default=0, help="the page must list so many requests")
    parser.add_argument("--hidden", default="", help="words that must not stand on the page")
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not program:
        print("SKIP: no Chromium is installed (apt-get install chromium)")
        return 77
    failures = 0

    def check(what, holds, found=""):
        nonlocal failures
        failures += not holds
        print(("ok  " if holds else "FAIL"), what, "" if holds and not found else f"({found})", flush=True)

    # Who is asked to end takes the browser along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    profile = tempfile.mkdtemp(prefix="winnow-chromium-")
    browser = Browser(program, profile)
    try:
        browser.open()
        url = options.url.rstrip("/") + "/"
        browser.size(1280, 900)
        browser.media(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
        browser.call("Page.navigate", url=url)
        check("it says that the cluster is ready",
              browser.until("document.querySelector('#state')?.textContent === 'Ready'"),
              browser.evaluate("document.querySelector('#state')?.textContent"))
        stages = browser.evaluate("document.querySelectorAll('.stage').length")
        check("it shows stages with layers", stages >= 1 and browser.evaluate(
            "Array.from(document.querySelectorAll('.stage')).every((s) => /layers? \\d/.test(s.textContent))"), f"{stages} stages")
        check("it lists the requests", browser.until(
            f"document.querySelectorAll('#requests tbody tr').length >= {options.requests}"),
            browser.evaluate("document.querySelectorAll('#requests tbody tr').length"))
        if options.requests:
            check("it shows what was kept of each", browser.until(
                "Array.from(document.querySelectorAll('#requests tbody tr')).every((r) => r.querySelector('.map rect:not(.none)') && /kept/.test(r.textContent))"))
        if options.hidden:
            check("it shows no words of a prompt", options.hidden not in browser.evaluate("document.documentElement.outerHTML"))
        browser.evaluate("window.kept = document.querySelector('.stage')")
        check("it goes on by itself, and keeps its elements", browser.evaluate(
            "new Promise((done) => { const before = life.seen; const end = Date.now() + 10000; (function look() {"
            " if (life.seen > before) done(document.querySelector('.stage') === window.kept);"
            " else if (Date.now() > end) done(false); else setTimeout(look, 50); })(); })"))
        if options.screenshots:
            browser.screenshot(os.path.join(options.screenshots, "light.png"))

        # Keyboard.
        seen = []
        for _ in range(12):
            browser.key("Tab", 9)
            name = browser.evaluate("document.activeElement === document.body ? '' : document.activeElement.textContent.trim()")
            if not name or name in seen:
                break
            seen.append(name)
            outlined = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            check(f"the focus is seen on '{name}'", outlined)
            if name == "Pause":
                browser.key("Enter", 13)
                check("Enter pauses it", browser.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true")
                browser.key("Enter", 13)
                check("and lets it go on", browser.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false")
        check("Tab reaches the skip link, the pause and the links", seen[:2] == ["To the content", "Pause"] and len(seen) >= 4, seen)

        # Screen readers.
        nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]
        named = {}
        for node in nodes:
            named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
        for role in ["button", "link", "meter", "image", "heading", "columnheader", "main", "banner", "status", "table"]:
            names = named.get(role, [])
            if role in ("table", "columnheader") and not options.requests:
                continue
            needs = role not in ("main", "banner", "status")
            check(f"a screen reader finds {role}{', each with a name' if needs else ''}",
                  bool(names) and (not needs or all(names)), len(names))
        check("its language is said", browser.evaluate("document.documentElement.lang") == "en")

        # Colours, motion, sizes.
        light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        worst = browser.evaluate(CONTRAST)
        check("text is readable in the light", worst[0] >= 4.5, f"{worst[0]:.1f} to 1: {worst[1]}")
        browser.media(prefers_color_scheme="dark", prefers_reduced_motion="no-preference")
        check("the dark has colours of its own", browser.evaluate("getComputedStyle(document.body).backgroundColor") != light)
        browser.until("document.getAnimations().every((a) => !(a instanceof CSSTransition))", 3)
        worst = browser.evaluate(CONTRAST)
        check("text is readable in the dark", worst[0] >= 4.5, f"{worst[0]:.1f} to 1: {worst[1]}")
        if options.screenshots:
            browser.screenshot(os.path.join(options.screenshots, "dark.png"))
        flow = "(() => { const edge = document.querySelector('.edge'); edge.classList.add('flows'); const is = getComputedStyle(edge.firstChild).animationName; return is; })()"
        check("rows flow", browser.evaluate(flow) == "flow")
        browser.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        check("nothing moves for who wants no motion", browser.evaluate(flow) == "none"
              and browser.evaluate("document.getAnimations().length") == 0)
        for width in [320, 390, 768]:
            browser.size(width, 844)
            wide = browser.evaluate("document.documentElement.scrollWidth")
            check(f"it fits a screen of {width} pixels", wide <= width, wide)
            if width == 390 and options.screenshots:
                browser.screenshot(os.path.join(options.screenshots, "phone.png"))

        # The policy, and where everything came from.
        problems = [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"
                    or event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error"]
        check("nothing went wrong in it", not problems, problems[:2] or "")
        asked = {event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"}
        foreign = [one for one in asked if not one.startswith((url, "about:"))]
        check("it fetches nothing from elsewhere", asked and not foreign, foreign or len(asked))
        ran = browser.evaluate("(() => { const s = document.createElement('script'); try { s.textContent = 'window.ran = 1'; document.body.append(s); } catch {} return window.ran === 1; })()")
        check("its policy runs no inline script", ran is False)
    except (RuntimeError, TimeoutError, OSError) as error:
        check("the browser does its part", False, error)
    finally:
        browser.close()
        shutil.rmtree(profile, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
