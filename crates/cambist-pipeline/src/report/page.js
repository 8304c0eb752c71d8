"use strict";
// Nothing here is needed to read the page: it remembers the theme and sorts tables.
(() => {
  const KEY = "cambist-report-theme";
  const radios = [...document.querySelectorAll('input[name="theme"]')];
  const recall = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const kept = radios.find((radio) => radio.value === recall());
  if (kept) kept.checked = true;
  for (const radio of radios) {
    radio.addEventListener("change", () => {
      try { localStorage.setItem(KEY, radio.value); } catch { /* a page without storage forgets */ }
    });
  }

  const collator = new Intl.Collator(undefined, { numeric: true });
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (!cell || cell.querySelector(".missing")) return null;
    return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));

  // Missing values stay last either way; equal ones keep the order of the page.
  const sortRows = (rows, column, sign) => {
    const keyed = rows.map((row) => ({ row, key: keyOf(row, column) }));
    const present = keyed.filter((entry) => entry.key !== null);
    present.sort((a, b) => sign * compare(a.key, b.key));
    return [...present, ...keyed.filter((entry) => entry.key === null)].map((entry) => entry.row);
  };

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    if (original.length < 2) continue;
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      const first = heading.classList.contains("num") ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      button.addEventListener("click", () => {
        const next = { [first]: second, [second]: null }[heading.ariaSort] ?? (heading.ariaSort ? null : first);
        for (const other of headings) other.ariaSort = null;
        heading.ariaSort = next;
        body.append(...(next ? sortRows(original, column, next === "ascending" ? 1 : -1) : original));
      });
    });
  }
})();
