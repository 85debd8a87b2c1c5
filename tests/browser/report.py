#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The report in a browser: nothing is fetched, nothing complains, sliders and switches do what they say, by keyboard too.

    report.py PENUMBRA [FOLDER]    (in FOLDER, if given, pictures of the pages are left)
"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import chromium

DATA = pathlib.Path(__file__).resolve().parents[1] / "cli/data"
HOSTILE = "</script><img src=x onerror='window.hacked=1'>\"&"
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Page:
    """A browser on one report."""

    def __init__(self, browser, url):
        self.browser, self.url = browser, url

    def open(self, **options):
        self.browser.open(self.url, **options)

    def value(self, expression):
        return self.browser.value(expression)

    def set(self, selector, value):
        """As a user's hand would: the value, then the event."""
        return self.value(f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                          f"if (e.type === 'range') e.value = {json.dumps(value)}; else e.checked = {json.dumps(value)};"
                          "e.dispatchEvent(new Event('input', {bubbles: true})); })()")

    def alpha(self, i):
        return [float(x) for x in self.value(f"document.querySelector('#tint-{i} feFuncA').getAttribute('tableValues')").split()]


@check
def nothing_is_fetched_and_nothing_complains(page):
    page.open()
    seen = page.browser.events
    fetched = [p["request"]["url"] for m, p in seen if m == "Network.requestWillBeSent"]
    assert all(u == page.url or u.startswith("data:") for u in fetched), fetched
    bad = [p for m, p in seen if m == "Runtime.exceptionThrown" or
           (m == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning")) or
           (m == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning"))]
    assert not bad, bad
    assert page.value("document.compatMode") == "CSS1Compat"


@check
def hostile_names_stay_text(page):
    page.open()
    assert page.value("typeof window.hacked") == "undefined"
    assert page.value("document.querySelectorAll('img').length") == 0
    assert page.value("document.querySelector('h1 em').textContent") == HOSTILE
    # what is slipped in later is not run either: the policy refuses it
    page.value("(() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
               "document.body.append(s); })()")
    assert page.value("typeof window.hacked") == "undefined"


@check
def methods_switch_by_keyboard(page):
    page.open()
    before = page.browser.picture("#stage")
    page.value("document.querySelector('input[name=method]').focus()")
    page.browser.press("ArrowDown", "ArrowDown", 40)
    assert page.value("document.querySelector('#stage .map').getAttribute('href')") == "#map-1"
    shown = page.value("[...document.querySelectorAll('.method')].map(p => getComputedStyle(p).display !== 'none')")
    assert shown == [False, True, False], shown
    assert "lime" in page.value("document.querySelector('#stage').getAttribute('aria-label')")
    assert "lime" in page.value("document.querySelector('#status').textContent")
    assert page.browser.picture("#stage") != before


@check
def cards_switch_the_method(page):
    page.open()
    page.value("document.querySelectorAll('.cards button')[2].click()")
    assert page.value("document.querySelector('#stage .map').getAttribute('href')") == "#map-2"
    assert page.value("document.querySelector('input[name=method]:checked').value") == "2"


@check
def opacity_slides_by_keyboard(page):
    page.open()
    before = page.browser.picture("#stage")
    page.value("document.querySelector('#opacity').focus()")
    page.browser.press("Home", "Home", 36)
    assert page.value("document.querySelector('#opacity-value').textContent") == "0 %"
    assert page.value("getComputedStyle(document.querySelector('#stage .map')).opacity") == "0"
    bare = page.browser.picture("#stage")
    assert bare != before
    page.value("document.querySelector('#stage .map').remove()")  # without the map at all the picture is the same
    assert page.browser.picture("#stage") == bare


@check
def threshold_hides_what_is_weaker(page):
    page.open()
    whole = page.alpha(0)
    assert whole[128] == 0 and whole[255] == 1 and whole[1] == 1
    page.set("#threshold", "50")
    half = page.alpha(0)
    for code in range(1, 256):
        weak = abs(code - 128) / 127 < 0.5
        assert half[code] == (0 if weak else whole[code]), code
    limit = float(page.value("document.querySelector('input[name=method]:checked').dataset.limit"))
    said = float(page.value("document.querySelector('#threshold-value').textContent"))
    assert abs(said - limit / 2) <= 0.005 * limit, (said, limit)


@check
def signs_are_shown_apart(page):
    page.open()
    whole = page.alpha(0)
    page.set("input[name=sign][value=for]", True)
    assert page.alpha(0)[128:] == whole[128:] and not any(page.alpha(0)[:128])
    page.set("input[name=sign][value=against]", True)
    assert page.alpha(0)[:129] == whole[:129] and not any(page.alpha(0)[129:])


@check
def one_scale_for_all(page):
    page.open()
    ends = "[...document.querySelectorAll('.cards .high')].map(e => e.textContent)"
    before, limits = page.value(ends), page.value("[...document.querySelectorAll('input[name=method]')].map(e => +e.dataset.limit)")
    assert len(set(before)) > 1, before
    page.set("#common", True)
    after = page.value(ends)
    assert len(set(after)) == 1 and after[0] in before, after
    for i, limit in enumerate(limits):  # the end of a map's codes has the strength it has on the common scale
        assert abs(page.alpha(i)[255] - (limit / max(limits)) ** 0.75) < 0.001, i
    page.set("#common", False)
    assert page.value(ends) == before


@check
def the_scale_comes_nearer_and_says_so(page):
    page.open()
    before = page.alpha(0)
    high = "document.querySelector('.viewer .high').textContent"
    limit = float(page.value("document.querySelector('input[name=method]:checked').dataset.limit"))
    page.set("#gain", "2")
    assert page.value("document.querySelector('#gain-value').textContent") == "5"
    said = page.value(high)
    assert said.startswith("\u2265 +") and abs(float(said[3:]) - limit / 5) <= 0.005 * limit, said
    after = page.alpha(0)
    for code in range(1, 256):
        assert abs(after[code] - min(1, 5 * abs(code - 128) / 127) ** 0.75) < 0.001, code
    page.set("#gain", "0")
    assert page.alpha(0) == before and not page.value(high).startswith("\u2265")


@check
def the_pictures_own_colours(page):
    page.open()
    page.set("#opacity", "0")
    grey = page.browser.picture("#stage")
    page.set("#hue", True)
    assert page.browser.picture("#stage") != grey


@check
def light_dark_wide_and_narrow(page):
    paper = {}
    for scheme in ("light", "dark"):
        page.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for width in (1200, 360):
            page.open(width=width, height=900)
            assert page.value("document.documentElement.scrollWidth") <= width, width
            keep(page, f"{scheme}-{width}")
        paper[scheme] = page.value("getComputedStyle(document.documentElement).backgroundColor")
    page.browser.call("Emulation.setEmulatedMedia", features=[])
    assert paper["light"] != paper["dark"], paper


@check
def prints_every_method_and_no_controls(page):
    page.open()
    page.browser.call("Emulation.setEmulatedMedia", media="print")
    shown = page.value("[...document.querySelectorAll('.method')].map(p => getComputedStyle(p).display !== 'none')")
    controls = page.value("getComputedStyle(document.querySelector('.controls')).display")
    page.browser.call("Emulation.setEmulatedMedia", media="")
    assert all(shown) and controls == "none", (shown, controls)
    pdf = base64.b64decode(page.browser.call("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20000, len(pdf)
    keep(page, "print.pdf", pdf)
    assert page.value("document.querySelectorAll('details[open]').length") == 0  # folded again


@check
def without_scripts_the_map_is_there(page):
    page.open()
    with_script = page.browser.picture("#stage")
    page.browser.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open()
    try:
        assert page.value("getComputedStyle(document.querySelector('.controls')).display") == "none"
        shown = page.value("[...document.querySelectorAll('.method')].map(p => getComputedStyle(p).display !== 'none')")
        assert all(shown), shown
        # the same picture up to the width that the controls leave
        size = page.value("(r => [r.width, r.height])(document.querySelector('#stage').getBoundingClientRect())")
        assert size[0] > 300 and len(page.browser.picture("#stage")) > 0.5 * len(with_script)
        keep(page, "no-script")
    finally:
        page.browser.call("Emulation.setScriptExecutionDisabled", value=False)


@check
def everything_has_a_name_for_screen_readers(page):
    page.open()
    nodes = page.browser.call("Accessibility.getFullAXTree")["nodes"]
    wanted = {"image", "img", "radio", "slider", "checkbox", "button", "radiogroup", "region", "table"}
    unnamed = [n["role"]["value"] for n in nodes if not n.get("ignored") and n.get("role", {}).get("value") in wanted - {"table"}
               and not n.get("name", {}).get("value")]
    assert not unnamed, unnamed
    roles = [n["role"]["value"] for n in nodes if not n.get("ignored") and "role" in n]
    assert roles.count("slider") == 3 and "status" in roles and "main" in roles, roles
    heads = page.value("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert heads[0] == 1 and heads.count(1) == 1 and all(b - a <= 1 for a, b in zip(heads, heads[1:])), heads


def keep(page, name, data=None):
    """For human eyes."""
    if len(sys.argv) <= 2:
        return
    os.makedirs(sys.argv[2], exist_ok=True)
    path = pathlib.Path(sys.argv[2]) / (name if data else f"{name}.png")
    if data is None:
        metrics = page.browser.call("Page.getLayoutMetrics")["cssContentSize"]
        data = base64.b64decode(page.browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                                                  clip={**metrics, "scale": 1})["data"])
    path.write_bytes(data)


def make_report(penumbra, folder):
    card = json.loads((DATA / "colour.json").read_text(encoding="utf-8"))
    card["output"]["labels"][0] = HOSTILE
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    shutil.copy(DATA / "spot.png", folder / "<b>spot'&.png")
    subprocess.run([penumbra, "compare", DATA / "colour.onnx", folder / "<b>spot'&.png", "--card", folder / "card.json", "-m",
                    "occlusion,lime,rise", "--patch", "4", "--samples", "120", "-t", "0", "-q", "-o", folder / "out"], check=True)
    return (folder / "out/<b>spot'&/report.html").as_uri()


def main():
    path = chromium.find()
    if not path:
        print("1..0 # SKIP there is no Chromium")
        return 0
    failed = 0
    print(f"1..{len(CHECKS)}")
    with tempfile.TemporaryDirectory() as folder:
        url = make_report(os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        browser = chromium.Browser(path)
        try:
            for number, function in enumerate(CHECKS, 1):
                title = function.__name__.replace("_", " ")
                try:
                    function(Page(browser, url))
                    print(f"ok {number} - {title}", flush=True)
                except (AssertionError, RuntimeError, TimeoutError) as why:
                    failed += 1
                    print(f"not ok {number} - {title}\n# {type(why).__name__}: {why}", flush=True)
        finally:
            browser.close()
    return failed > 0


sys.exit(main())
