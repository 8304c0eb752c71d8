"use strict";
// All foreign text goes in by textContent: nothing that a model wrote becomes markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const form = $("filters"), list = $("list"), reading = $("reading");
  let about = null, shown = null, current = -1, row = null, asked = 0;

  const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...inside.filter((part) => part !== null && part !== undefined));
    return element;
  };
  const number = (value, digits = 3) => {
    if (value === null || value === undefined) return "n/a";
    return value.toFixed(digits).replace("-", "\u2212");
  };
  // What reorders its surroundings without being seen is shown instead, as in the report.
  const seen = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (c) => `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase()}\u27e9`);
  const count = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

  // Marks what was searched for; the server folds case and width, this only the case.
  const words = () => form.q.value.trim().split(/\s+/).filter(Boolean);
  const marked = (text) => {
    const escaped = words().map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (!escaped.length) return [text];
    const parts = text.split(new RegExp(`(${escaped.join("|")})`, "giu"));
    return parts.map((part, at) => (at % 2 ? make("mark", {}, part) : part));
  };
  // The letters decide the direction; a text without letters runs as its language does.
  const direction = (text, rtl) => (/\p{L}/u.test(text) ? "auto" : rtl ? "rtl" : "ltr");
  const passage = (text, language) =>
    text.trim() === ""
      ? make("p", { class: "muted" }, "empty")
      : make("div", { class: "passage", lang: language.tag, dir: direction(text, language.rtl) }, ...marked(seen(text)));

  const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* forgets */ } };
  const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  for (const radio of document.querySelectorAll('input[name="theme"]')) {
    radio.checked = radio.value === (recall("cambist-report-theme") ?? "auto");
    radio.addEventListener("change", () => remember("cambist-report-theme", radio.value));
  }

  const get = async (path) => {
    const reply = await fetch(path);
    const body = await reply.json();
    if (!reply.ok) throw new Error(body.error ?? reply.statusText);
    return body;
  };
  const filters = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const isDefault = value.trim() === "" || (name === "sort" && value === "file") || (name === "ranking" && value === about?.rankings[0])
        || (name === "part" && !form.teacher.value);
      if (!isDefault) query.set(name, value.trim());
    }
    return query;
  };
  const keepAddress = (page, place) => {
    const query = filters();
    if (page) query.set("page", page);
    if (Number.isInteger(place)) query.set("prompt", place);
    history.replaceState(null, "", `#${query}`);
  };

  const load = async (page = 0, select = null) => {
    const ticket = ++asked;
    keepAddress(page, select);
    const query = filters();
    query.set("page", page);
    try {
      const found = await get(`/api/prompts?${query}`);
      if (ticket !== asked) return;
      shown = found;
    } catch (error) {
      if (ticket === asked) complain(error);
      return;
    }
    $("found").textContent = shown.n === 1 ? "1 prompt" : `${count(shown.n)} prompts`;
    $("page").textContent = shown.pages > 1 ? `${shown.page + 1} of ${shown.pages}` : "";
    $("back").disabled = shown.page === 0;
    $("on").disabled = shown.page + 1 >= shown.pages;
    list.replaceChildren(...shown.prompts.map(listed));
    if (!shown.prompts.length) {
      list.append(make("li", { class: "none" }, "No prompt fits these filters."));
      current = -1;
      row = null;
      reading.replaceChildren();
      keepAddress(0, null);
      return;
    }
    const at = select === "last" ? shown.prompts.length - 1 : Math.max(0, shown.prompts.findIndex((prompt) => prompt.place === select));
    await open(at);
  };
  const complain = (error) => {
    reading.replaceChildren(make("p", { class: "fault", role: "alert" }, String(error.message ?? error)));
  };

  const listed = (prompt, at) =>
    make("li", {}, make("button", { type: "button", onclick: () => open(at) },
      make("span", { class: "snippet", lang: prompt.language, dir: direction(prompt.snippet, prompt.rtl) }, ...marked(seen(prompt.snippet))),
      make("span", { class: "facts" },
        make("span", {}, prompt.language),
        prompt.winner ? make("bdi", {}, prompt.winner) : make("span", { class: "fault" }, "no winner"),
        prompt.margin === null ? null : make("span", {}, `margin ${number(prompt.margin, 2)}`),
        prompt.n_failed ? make("span", { class: "fault" }, `${prompt.n_failed} failed`) : null,
        prompt.n_stopped ? make("span", { class: "fault" }, `${prompt.n_stopped} stopped`) : null)));

  // Scrolls the list and leaves the page where it is.
  const reveal = (entry) => {
    const top = entry.offsetTop - list.offsetTop, end = top + entry.offsetHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
  };
  const open = async (at) => {
    current = at;
    [...list.querySelectorAll("button")].forEach((button, place) => {
      button.setAttribute("aria-current", place === at);
      if (place === at) reveal(button.parentElement);
    });
    const prompt = shown.prompts[at], ticket = asked;
    try {
      const found = await get(`/api/prompts/${prompt.place}?${filters()}`);
      if (ticket !== asked || current !== at) return;
      row = found;
    } catch (error) {
      if (ticket === asked && current === at) complain(error);
      return;
    }
    reading.replaceChildren(...prompted(row), make("div", { class: "answers" }, ...row.answers.map((answer) => answered(answer, row))));
    keepAddress(shown.page, row.place);
  };

  const copier = (label, text, name) => {
    const button = make("button", { type: "button", "data-copy": name, title: `Copy ${name}` }, label);
    button.addEventListener("click", async () => {
      const done = await copy(text());
      button.textContent = done ? "Copied" : "Not copied";
      button.classList.toggle("done", done);
      setTimeout(() => { button.textContent = label; button.classList.remove("done"); }, 1200);
    });
    return button;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = make("textarea", { class: "skip" });
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  };

  const prompted = (row) => {
    const tongue = row.language.name ? `${row.language.name} (${row.language.tag})` : row.language.tag;
    const asks = row.answer_language.tag === row.language.tag ? null : `answer in ${row.answer_language.name ?? row.answer_language.tag}`;
    const facts = [tongue, asks, row.task, row.margin === null ? null : `margin ${number(row.margin)}`].filter(Boolean).join(" · ");
    const last = () => row.messages.map((turn) => turn.content).at(-1) ?? "";
    const turns = row.messages.map((turn) => make("div", { class: "turn" },
      row.messages.length > 1 || turn.role !== "user" ? make("div", { class: "role" }, turn.role) : null, passage(turn.content, row.language)));
    const reference = row.reference ? [make("details", {}, make("summary", {}, "Known good answer"), passage(row.reference, row.answer_language))] : [];
    return [
      make("div", { class: "bar" }, make("h2", {}, "Prompt ", make("code", {}, row.id)), make("span", { class: "facts" }, facts),
        make("span", { class: "tools" }, copier("Copy prompt", last, "prompt"), copier("Copy row as JSON", () => JSON.stringify(row, null, 2), "row"))),
      ...turns, ...reference,
    ];
  };

  const FINISH = { stop: "ended by itself", length: "cut at the limit on tokens", content_filter: "withheld", error: "no answer" };
  const answered = (answer, row) => {
    const verdict = answer.failure
      ? make("span", { class: "fault" }, "failed")
      : answer.passed ? make("span", {}, "passed") : make("span", { class: "fault" }, `stopped: ${answer.stopped.reason}`);
    const detail = !answer.failure && answer.stopped ? ` (${answer.stopped.detail})` : "";
    const tokens = answer.tokens_out === null ? "not counted" : `${answer.tokens_in === null ? "?" : count(answer.tokens_in)} in, ${count(answer.tokens_out)} out`;
    const facts = [
      ["gates", [verdict, detail]],
      ["finish", [`${FINISH[answer.finish_reason] ?? answer.finish_reason}`]],
      ["tokens", [tokens]],
      ["cost", [`${answer.cost_usd === 0 ? "0" : answer.cost_usd.toPrecision(3)} USD`]],
    ];
    const takers = answer.taken_by.filter((name) => about.rankings.length > 1 && name !== form.ranking.value);
    if (takers.length) facts.push(["also by", [takers.join(", ")]]);
    if (answer.written_in && answer.written_in !== row.answer_language.tag) facts.push(["seems", [answer.written_in]]);
    return make("section", { class: `answer${answer.winner ? " winner" : ""}${answer.passed ? "" : " stopped"}` },
      make("div", { class: "bar" },
        make("h3", {}, make("bdi", {}, answer.teacher), answer.sample ? ` #${answer.sample}` : ""),
        make("span", { class: "reward", title: "reward" }, number(answer.reward)),
        answer.winner ? make("span", { class: "badge won" }, "\u2713 winner") : null,
        make("span", { class: "tools" }, answer.failure ? null : copier("Copy", () => answer.text, "answer"))),
      answer.failure ? make("p", { class: "fault" }, seen(answer.failure)) : passage(answer.text, row.answer_language),
      answer.reasoning ? make("details", {}, make("summary", {}, `Reasoning (${count([...answer.reasoning].length)} characters)`), passage(answer.reasoning, row.answer_language)) : null,
      make("dl", {}, ...facts.flatMap(([name, parts]) => [make("dt", {}, name), make("dd", {}, ...parts)])));
  };

  const step = async (by) => {
    if (!shown?.prompts.length) return;
    const to = current + by;
    if (to >= 0 && to < shown.prompts.length) await open(to);
    else if (to < 0 && shown.page > 0) await load(shown.page - 1, "last");
    else if (to >= shown.prompts.length && shown.page + 1 < shown.pages) await load(shown.page + 1);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") { event.preventDefault(); form.q.focus(); form.q.select(); }
  });
  $("back").addEventListener("click", () => load(shown.page - 1));
  $("on").addEventListener("click", () => load(shown.page + 1));
  let waiting = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    // Before anything is asked or answered, so that a reload in the next moment keeps what was just chosen.
    asked += 1;
    keepAddress(0, null);
    waiting = setTimeout(() => load(), event.target.type === "search" || event.target.type === "number" ? 250 : 0);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); load(); });
  form.addEventListener("reset", () => setTimeout(() => load()));

  const option = (value, text = value) => make("option", { value }, text);
  const start = async () => {
    about = await get("/api/about");
    document.title = `Candidates of ${about.step}`;
    $("step").textContent = `Candidates of ${about.step}`;
    const scored = about.arbiters.length ? `, scored by ${about.arbiters.join(", ")}` : ", not scored";
    const strays = about.n_strays ? `; ${count(about.n_strays)} answers to prompts that are not there are left out` : "";
    $("about").textContent = `${count(about.n_prompts)} prompts, ${count(about.n_answers)} answers of ${about.teachers.join(", ")}${scored}${strays} · ${about.artifact.slice(0, about.verb.length + 13)}`;
    form.language.append(...about.languages.map((l) => option(l.tag, `${l.name ?? l.tag} (${l.tag}), ${count(l.n_prompts)}`)));
    form.teacher.append(...about.teachers.map((name) => option(name)));
    form.ranking.append(...about.rankings.map((name) => option(name)));
    $("ranking-label").hidden = about.rankings.length < 2;
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of kept) if (form.elements[name]) form.elements[name].value = value;
    const place = (name) => (/^\d+$/.test(kept.get(name) ?? "") ? Number(kept.get(name)) : null);
    await load(place("page") ?? 0, place("prompt"));
  };
  start().catch(complain);
})();
