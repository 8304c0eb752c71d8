#!/usr/bin/env python3
"""Opens a report in headless Chromium and fails on what a reader would stumble over.

    python report.py REPORT.html [SCREENSHOT_FOLDER]

Checked at 360, 768 and 1280 px, in the light and the dark theme: errors on the console, requests that leave the page,
horizontal overflow of the page, text outside its drawing, labels over labels, contrast below 4.5 (WCAG 2.2, 1.4.3),
foreign text without `lang` or `dir`, tables that the keyboard does not reach, sorting, and that hostile text stayed
text. Needs playwright 1.65 or later and /usr/bin/chromium (or the one that CHROMIUM names). Uses no network.
"""

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = [360, 768, 1280]
THEMES = ["light", "dark"]

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Text of a drawing lies within the drawing, and no two texts of one drawing cover each other.
DRAWN_TEXT = """() => {
  const faults = [];
  const wrong = (svg, what) => faults.push(`${svg.closest('figure').id}: ${what}`);
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect();
    if (box.width === 0) continue;
    const texts = [...svg.querySelectorAll('text')].map((text) => [text, text.getBoundingClientRect()]);
    for (const [text, r] of texts) {
      const out = Math.max(box.left - r.left, r.right - box.right, box.top - r.top, r.bottom - box.bottom);
      if (out > 2) wrong(svg, `"${text.textContent}" is ${out.toFixed(1)} px outside`);
    }
    for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
      const [[a, ra], [b, rb]] = [texts[i], texts[j]];
      if (a.closest('[transform]') || b.closest('[transform]')) continue;
      const wide = Math.min(ra.right, rb.right) - Math.max(ra.left, rb.left);
      const high = Math.min(ra.bottom, rb.bottom) - Math.max(ra.top, rb.top);
      if (wide > 1 && high > 4) wrong(svg, `"${a.textContent}" covers "${b.textContent}"`);
    }
  }
  return faults;
}"""

# Colours are read back from a canvas, which knows every colour notation of CSS.
CONTRAST = """() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ratio = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const under = (text, r) => {
    const [x, y] = [(r.left + r.right) / 2, (r.top + r.bottom) / 2];
    const below = [...text.ownerSVGElement.querySelectorAll('rect.part, rect.cell')].filter((rect) => {
      const b = rect.getBoundingClientRect();
      return b.left <= x && x <= b.right && b.top <= y && y <= b.bottom;
    });
    return below.length ? rgba(getComputedStyle(below.at(-1)).fill) : behind(text.ownerSVGElement);
  };
  const faults = new Set();
  let lowest = 99;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest('script, style, title, desc, legend')) continue;
    const r = element.getBoundingClientRect();
    if (r.width === 0 || !element.checkVisibility()) continue;
    const drawn = element.closest('svg') !== null;
    const style = getComputedStyle(element);
    const seen = ratio(rgba(drawn ? style.fill : style.color), drawn ? under(element, r) : behind(element));
    lowest = Math.min(lowest, seen);
    if (seen < 4.5) faults.add(`${seen.toFixed(2)}: "${node.textContent.trim().slice(0, 40)}" (${element.className?.baseVal ?? element.className})`);
  }
  return { lowest, n_texts: walker.root.textContent.length, faults: [...faults] };
}"""

# Text in a script that the page's own language does not use says its language; block text says its direction.
LANGUAGE = r"""() => {
  const foreign = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Cyrillic}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Devanagari}\p{Script=Thai}]{2}/u;
  const faults = [];
  if (!document.documentElement.lang || !document.documentElement.dir) faults.push('the page has no lang or dir');
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!foreign.test(node.textContent) || element.closest('script, style, desc')) continue;
    const says = element.closest('[lang]');
    if (says === document.documentElement) faults.push(`no lang: "${node.textContent.slice(0, 40)}"`);
    if (!element.closest('svg') && element.closest('[dir]') === document.documentElement) faults.push(`no dir: "${node.textContent.slice(0, 40)}"`);
  }
  for (const passage of document.querySelectorAll('.passage')) {
    if (!passage.hasAttribute('dir')) faults.push(`no dir: "${passage.textContent.slice(0, 40)}"`);
  }
  return faults;
}"""

SORTED = """(table) => {
  const keys = () => [...table.tBodies[0].rows].map((row) => row.cells[row.cells.length - 1].dataset.key).filter(Boolean).map(Number);
  const heading = [...table.tHead.rows[0].cells].at(-1);
  const button = heading.querySelector('button');
  const before = keys();
  if (before.length < 2 || !button) return null;
  button.click();
  const down = heading.ariaSort === 'descending' && keys().every((k, i, all) => i === 0 || all[i - 1] >= k);
  button.click();
  const up = heading.ariaSort === 'ascending' && keys().every((k, i, all) => i === 0 || all[i - 1] <= k);
  button.click();
  const back = !heading.ariaSort && keys().join() === before.join();
  return down && up && back;
}"""


def keyboard_faults(page):
    """Walks the page by Tab and returns the scrolling boxes of visible tables that were not reached."""
    wanted = page.evaluate(
        "() => [...document.querySelectorAll('.table table')].map((table) => table.id)"
    )
    reached, places = set(), []
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    for _ in range(600):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => {
              const e = document.activeElement;
              if (!e || e === document.body) return null;
              const place = [...document.querySelectorAll('*')].indexOf(e);
              return { place, tables: [...e.querySelectorAll('table')].map((t) => t.id), seen: getComputedStyle(e).outlineStyle };
            }"""
        )
        if at is None:
            break
        reached.update(at["tables"])
        places.append(at["place"])
    faults = [f"Tab does not reach {table}" for table in wanted if table not in reached]
    if not places:
        faults.append("Tab reaches nothing")
    if places != sorted(places):
        faults.append("the order of Tab is not the order of the page")
    return faults


def theme_faults(page):
    """Chooses each theme by its button and returns those that do not show."""
    faults, papers = [], {}
    for theme in THEMES:
        page.check(f"#theme-{theme}", force=True)
        papers[theme] = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    if papers["light"] == papers["dark"]:
        faults.append("the theme buttons change nothing")
    page.check("#theme-auto", force=True)
    return faults


def check(browser, address, width, theme, folder):
    """Returns every fault of the page at one width in one theme."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    faults, requests = [], []
    page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: faults.append(f"script: {e}"))
    page.on("request", lambda r: requests.append(r.url))
    page.goto(address)
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    if folder:
        page.screenshot(path=str(folder / f"report-{width}-{theme}.png"), full_page=True)
    over = page.evaluate(OVERFLOW)
    if over > 0:
        faults.append(f"the page is {over} px too wide")
    faults += page.evaluate(DRAWN_TEXT)
    contrast = page.evaluate(CONTRAST)
    faults += [f"contrast {fault}" for fault in contrast["faults"]]
    faults += page.evaluate(LANGUAGE)
    faults += keyboard_faults(page)
    faults += theme_faults(page)
    for table in page.query_selector_all("table"):
        if table.evaluate(SORTED) is False:
            faults.append(f"sorting `{table.get_attribute('id')}` goes wrong")
    faults += [f"fetched {url}" for url in requests if url != address]
    if page.evaluate("() => document.scripts.length") != 1 or page.title() != page.inner_text("h1"):
        faults.append("text of the page became a script")
    page.close()
    print(f"{width} px {theme}: {len(faults)} faults, least contrast {contrast['lowest']:.2f}")
    return [f"{width} px {theme}: {fault}" for fault in faults]


def main():
    path = Path(sys.argv[1]).resolve()
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        faults = [
            fault
            for width in WIDTHS
            for theme in THEMES
            for fault in check(browser, path.as_uri(), width, theme, folder)
        ]
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
