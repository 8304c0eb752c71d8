"""Looks at `cambist view` in headless Chromium over a store made with the mock; ends with 1 where something is wrong.

Usage: python scripts/view_check.py target/debug/cambist [SCREENSHOT_FOLDER]    (needs playwright and Chromium)
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

chromium = shutil.which("chromium") or shutil.which("chromium-browser")
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None
if chromium is None or sync_playwright is None:
    print("skipped: Chromium or playwright is not installed")
    sys.exit(0)

cambist = str(Path(sys.argv[1]).resolve())
pictures = Path(sys.argv[2]) if len(sys.argv) > 2 else None
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> </div>"
LONG = {
    "ar": "كانت المدينة القديمة تستيقظ مع أول ضوء للفجر، ويفتح التجار أبواب دكاكينهم في السوق الكبير. اكتب قصة قصيرة عن هذا السوق.",
    "he": "העיר העתיקה מתעוררת עם אור ראשון של שחר והסוחרים פותחים את דלתות חנויותיהם בשוק הגדול. כתוב סיפור קצר על השוק.",
    "ja": "古い町は夜明けの光とともに目を覚まし、商人たちは大きな市場で店の扉を開けます。この市場について短い話を書いてください。",
    "tr": "Eski şehir günün ilk ışığıyla uyanır ve tüccarlar büyük İSTANBUL çarşısında dükkânlarını açar. Bu çarşı hakkında kısa bir öykü yaz.",
    "de": "Die alte Stadt erwacht mit dem ersten Licht, und in der großen STRASSE öffnen die Händler ihre Läden. Schreibe eine kurze Geschichte.",
    "en": f"The old town wakes with the first light and the merchants open their shops. Write a short story. {HOSTILE}",
}
TEACHER = """
  - id: {id}
    license: apache-2.0
    endpoint: {{dialect: {dialect}, base_url: "{url}", model: {model}}}
    price: {{input: 0.1, output: 0.3}}"""
RECIPE = """
name: viewed
seed: 7
pool:{pool}
arbiters:
  - {{id: scorer, endpoint: {{dialect: vllm-classify, base_url: "{url}", model: mock-rm}}}}
steps:
  - id: prompts
    prompts: {{file: prompts.jsonl}}
  - id: answers
    generate: {{prompts: prompts, router: all, arbiter: scorer, sampling: {{max_new_tokens: 512}}}}
  - id: data
    select: {{from: answers, strategies: {{reward: {{router: all}}, chance: {{router: random}}}}}}
"""
MOCK = """
seed: 3
faults:
  - {fault: think_inline, match: {model: alpha-9b}, probability: 0.6, attempts: 99}
  - {fault: finish_filter, match: {model: beta-8b}, probability: 0.1, attempts: 99}
"""
faults = []


def check(what, holds, seen=""):
    if not holds:
        faults.append(f"{what}: {seen}" if seen != "" else what)


def started(*command):
    """A process that serves, and the first line that it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return process, process.stdout.readline().strip()


def make_store(folder, url):
    rows = [{"id": f"{tag}-{at}", "language": tag, "prompt": f"{at + 1}. {text}"} for at in range(12) for tag, text in LONG.items()]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    pool = [("alpha", "openai-chat", "alpha-9b"), ("beta", "anthropic", "beta-8b"), ("echo", "openai-chat", "mock-echo")]
    pool = "".join(TEACHER.format(id=json.dumps(i, ensure_ascii=False), dialect=d, model=m, url=url) for i, d, m in pool)
    (folder / "recipe.yaml").write_text(RECIPE.format(pool=pool, url=url), encoding="utf-8")
    subprocess.run([cambist, "run", folder / "recipe.yaml", "--store", folder / "store", "--quiet"], check=True)


def look(page, url):
    errors, outside = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("request", lambda asked: outside.append(asked.url) if not asked.url.startswith((url, "data:")) else None)
    # Functions alone are waited for: a bare expression that does not hold at once is looked at again by `eval`, which the
    # page's policy forbids.
    found, open_prompt = page.locator("#found"), page.locator("#reading h2 code")
    settled = lambda words: page.wait_for_function("words => document.getElementById('found').textContent === words", arg=words)
    at_prompt = lambda name: page.wait_for_function("name => document.querySelector('#reading h2 code')?.textContent === name", arg=name)

    page.goto(url)
    settled("72 prompts")
    open_prompt.wait_for()  # the list comes before the prompt
    check("a page holds 50 prompts", page.locator("#list li").count() == 50, page.locator("#list li").count())
    check("one candidate for each teacher", page.locator(".answer").count() == 3, page.locator(".answer").count())
    check("the winner is marked", page.locator(".answer.winner .badge").count() == 1)
    check("the reasoning is folded", page.locator(".answer details[open]").count() == 0)
    page.screenshot(path=pictures / "first.png") if pictures else None

    first = open_prompt.inner_text()
    page.keyboard.press("j")
    page.wait_for_function("name => document.querySelector('#reading h2 code')?.textContent !== name", arg=first)
    page.keyboard.press("k")
    at_prompt(first)
    for _ in range(50):
        before = open_prompt.inner_text()
        page.keyboard.press("j")
        page.wait_for_function("name => document.querySelector('#reading h2 code')?.textContent !== name", arg=before)
    check("j goes on to the next page", page.locator("#page").inner_text() == "2 of 2", page.locator("#page").inner_text())

    for tag, direction in [("ar", "rtl"), ("he", "rtl"), ("ja", "ltr")]:
        page.select_option('select[name="language"]', tag)
        settled("12 prompts")
        at_prompt(f"{tag}-0")
        text = page.locator("#reading .turn .passage")
        seen = text.evaluate("e => [getComputedStyle(e).direction, e.lang, e.dir]")
        check(f"{tag} runs {direction}", seen == [direction, tag, "auto"], seen)
        page.screenshot(path=pictures / f"{tag}.png") if pictures else None
    page.click('button[type="reset"]')
    settled("72 prompts")

    for words, n in [("市場", 12), ("istanbul", 12), ("straße", 12), ("السوق", 12), ("השוק", 12), ("ＭＥＲＣＨＡＮＴＳ", 12)]:
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type(words)
        page.wait_for_function("n => document.querySelectorAll('#list .snippet').length === n", arg=n)
        page.fill('input[name="q"]', "")
        settled("72 prompts")
    page.fill('input[name="q"]', "no such word anywhere")
    settled("0 prompts")
    page.click('button[type="reset"]')
    settled("72 prompts")
    page.keyboard.press("Escape")

    page.select_option('select[name="language"]', "en")
    settled("12 prompts")
    at_prompt("en-0")
    check("markup in a prompt and its echo stays text", page.locator("#reading .passage", has_text="<script>").count() >= 2)
    check("no script of a model ran", page.evaluate("window.hacked === undefined"))
    check("no element of a model is there", page.locator("#reading img, #reading script").count() == 0)
    page.locator('.answer.winner [data-copy="answer"]').click()
    page.locator('.answer.winner [data-copy="answer"].done').wait_for()
    check("the answer is copied", page.evaluate("navigator.clipboard.readText()") == page.locator(".answer.winner > .passage").inner_text())
    page.locator('[data-copy="row"]').click()
    page.locator('[data-copy="row"].done').wait_for()
    row = json.loads(page.evaluate("navigator.clipboard.readText()"))
    check("the row is copied as JSON", row["id"] == "en-0" and len(row["answers"]) == 3, row["id"])
    page.locator('[data-copy="prompt"]').click()
    page.locator('[data-copy="prompt"].done').wait_for()
    check("the prompt is copied", page.evaluate("navigator.clipboard.readText()") == row["messages"][-1]["content"])

    page.click('button[type="reset"]')
    settled("72 prompts")
    page.select_option('select[name="sort"]', "narrow")
    page.wait_for_function("() => document.querySelector('#list .facts')?.textContent.includes('margin')")
    margins = page.evaluate("async () => (await (await fetch('/api/prompts?sort=narrow')).json()).prompts.map(p => p.margin)")
    there = [m for m in margins if m is not None]
    check("margins come in order, missing ones last", there == sorted(there) and margins[: len(there)] == there and there, margins)
    page.select_option('select[name="only"]', "stopped")
    page.locator(".answer.stopped").first.wait_for()
    # What fits is asked of the site itself, so that what stood on the page before cannot be taken for the answer.
    fit = "only=stopped&teacher=alpha&part=won&sort=narrow"
    n = page.evaluate("async (fit) => (await (await fetch(`/api/prompts?${fit}`)).json()).n", fit)
    page.select_option('select[name="teacher"]', "alpha")
    page.reload()
    settled(f"{n} prompts")
    page.wait_for_function("() => document.querySelector('.answer.winner h3')?.textContent.startsWith('alpha')")
    kept = {name: page.locator(f'[name="{name}"]').input_value() for name in ("only", "teacher", "sort")}
    check("a reload in the next moment keeps the filters", kept == {"only": "stopped", "teacher": "alpha", "sort": "narrow"}, kept)
    page.screenshot(path=pictures / "filtered.png") if pictures else None
    name = open_prompt.inner_text()
    page.keyboard.press("j")
    page.wait_for_function("name => document.querySelector('#reading h2 code')?.textContent !== name", arg=name)
    second = open_prompt.inner_text()
    page.reload()
    at_prompt(second)
    check("a reload keeps the prompt", page.locator("#found").inner_text() == f"{n} prompts", page.locator("#found").inner_text())
    page.click('button[type="reset"]')
    settled("72 prompts")
    if pictures:
        page.locator("summary", has_text="Reasoning").first.click() if page.locator("summary", has_text="Reasoning").count() else None
        page.locator("label", has_text="Dark").click()
        page.screenshot(path=pictures / "dark.png")
        page.set_viewport_size({"width": 390, "height": 844})
        page.screenshot(path=pictures / "narrow.png", full_page=True)
    check("nothing overflows sideways", page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
    check("the page throws no error", not errors, errors)
    check("nothing is fetched from elsewhere", not outside, outside)


with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
    folder = Path(folder)
    (folder / "mock.yaml").write_text(MOCK, encoding="utf-8")
    mock, mock_url = started(cambist, "mock", "--behaviour", folder / "mock.yaml")
    view = None
    try:
        make_store(folder, mock_url)
        view, url = started(cambist, "view", "--no-open", "--store", folder / "store")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=["clipboard-read", "clipboard-write"])
        context.set_default_timeout(60_000)  # for a machine with other work; nothing waits that long on one without
        look(context.new_page(), url)
        browser.close()
    finally:
        for process in (mock, view):
            if process is not None:
                process.terminate()
for fault in faults:
    print(f"fault: {fault}")
print(f"{len(faults)} faults")
sys.exit(1 if faults else 0)
