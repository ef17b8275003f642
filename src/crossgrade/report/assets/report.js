"use strict";
// Sorting, filtering, theme, state in the address, downloads. The page is readable without it.
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.dataset.js = "1";

  // The embedded JSON is packed: tables as columns and rows, what repeats once.
  const unpack = (value, again) => {
    const inside = (v) => unpack(v, again);
    if (Array.isArray(value)) return value.map(inside);
    if (value === null || typeof value !== "object") return value;
    if ("$" in value) return again[value.$];
    if (value.$columns) {
      return value.$rows.map((row) =>
        Object.fromEntries(value.$columns.map((name, i) => [name, inside(row[i])])));
    }
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inside(v)]));
  };
  let parsed;
  const answer = () => {
    if (!parsed) {
      const { $again, ...rest } = JSON.parse(document.getElementById("data").textContent);
      parsed = unpack(rest, $again);
    }
    return parsed;
  };

  // State: #section?key=value&key=value, so a link opens the same view from a file too.
  const state = new URLSearchParams(location.hash.split("?")[1] || "");
  let place = location.hash.slice(1).split("?")[0];
  const remember = (key, value) => {
    if (value) state.set(key, value); else state.delete(key);
    const said = state.toString();
    history.replaceState(null, "", "#" + place + (said ? "?" + said : ""));
  };

  const theme = document.getElementById("theme");
  const paint = (value) => {
    if (value) root.dataset.theme = value; else delete root.dataset.theme;
    theme.value = value;
  };
  theme.addEventListener("change", () => { paint(theme.value); remember("theme", theme.value); });
  paint(["light", "dark"].includes(state.get("theme")) ? state.get("theme") : "");

  // Sorting: numbers by data-v, words by their text.
  const sort = (table, column, order) => {
    const body = table.tBodies[0];
    const key = (row) => {
      const cell = row.cells[column];
      const words = cell.textContent.trim();
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      // A share is sorted by what it says; "under 0.1 %" comes before 0.1 %, words come first.
      const share = /^(under )?([\d.]+) %/.exec(words);
      return share ? Number(share[2]) - (share[1] ? 0.01 : 0) : words;
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      const less = typeof x === "number" && typeof y === "number" ? x - y
        : String(x).localeCompare(String(y), "en", { numeric: true });
      return order === "descending" ? -less : less;
    });
    body.append(...rows);
    all("th", table.tHead).forEach((th, i) => {
      if (i === column) th.setAttribute("aria-sort", order); else th.removeAttribute("aria-sort");
    });
  };
  all("table[data-sort]").forEach((table) => {
    all("th", table.tHead).forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const order = th.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        sort(table, column, order);
        remember("sort-" + table.id, column + (order === "descending" ? "d" : "a"));
      });
    });
    const kept = /^(\d+)([ad])$/.exec(state.get("sort-" + table.id) || "");
    if (kept && Number(kept[1]) < table.tHead.rows[0].cells.length) {
      sort(table, Number(kept[1]), kept[2] === "d" ? "descending" : "ascending");
    }
  });

  // Filters hide what does not match; the count is announced.
  const filters = all("[data-filter]");
  const apply = () => {
    for (const name of new Set(filters.map((f) => f.dataset.filter))) {
      const wanted = filters.filter((f) => f.dataset.filter === name && f.value);
      const items = all(`[data-in="${name}"]`);
      let shown = 0;
      for (const item of items) {
        const fits = wanted.every((f) => f.dataset.by === "text"
          ? item.textContent.toLowerCase().includes(f.value.toLowerCase())
          : ` ${item.dataset[f.dataset.by]} `.includes(` ${f.value} `));
        item.hidden = !fits;
        shown += fits;
      }
      const told = document.getElementById("count-" + name);
      if (told) told.textContent = `${shown} of ${items.length} shown`;
    }
  };
  filters.forEach((f) => {
    const kept = state.get(f.id);
    if (kept && (f.tagName === "INPUT" || [...f.options].some((o) => o.value === kept))) f.value = kept;
    f.addEventListener("input", () => { remember(f.id, f.value); apply(); });
  });
  apply();

  // Evidence of one operator on one chip, from the embedded answer.
  const panel = document.getElementById("evidence-panel");
  const show = (op, name) => {
    const chip = answer().data.chips.find((c) => c.chip === name);
    panel.replaceChildren();
    const add = (tag, words) => { const e = document.createElement(tag); e.textContent = words; panel.append(e); };
    add("strong", `${op} on ${name}`);
    for (const phase of chip.phases) {
      const found = phase.operators.find((o) => o.op === op);
      if (!found) continue;
      const via = found.via ? `, through ${found.via}` : "";
      add("p", `${phase.phase}: ${found.level}${via}; ${found.calls} calls. ${found.limits}`);
      for (const line of found.evidence) add("p", line);
    }
    panel.hidden = false;
  };
  const names = all("#ops thead th").map((th) => th.textContent.trim());
  all("#ops tbody td.l").forEach((cell) => {
    const op = cell.parentElement.cells[0].textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    button.addEventListener("click", () => {
      show(op, names[cell.cellIndex]);
      panel.scrollIntoView({ block: "nearest" });
    });
    cell.append(button);
  });

  // A link into a closed part opens it.
  const open = () => {
    const id = location.hash.slice(1).split("?")[0];
    if (!id) return;
    place = id;
    const target = document.getElementById(id);
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach((d) => { d.open = true; }); });
  addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));

  // Downloads are made from the page itself.
  const save = (name, kind, words) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([words], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const stem = document.body.dataset.stem;
  // A spreadsheet must not take a name for a formula.
  const cell = (words) => {
    const inert = /^[=+\-@\t\r]/.test(words) && !/^-?[\d.]+$/.test(words) ? "'" + words : words;
    return '"' + inert.replaceAll('"', '""') + '"';
  };
  const plain = (td) => {
    const copy = td.cloneNode(true);
    all("sup", copy).forEach((letter) => letter.remove());
    return copy.textContent.trim().replace(/\s+/g, " ");
  };
  const csv = (table) => [...table.rows].filter((r) => !r.hidden)
    .map((r) => [...r.cells].map((c) => cell(plain(c))).join(",")).join("\r\n") + "\r\n";
  const picture = (svg) => {
    const copy = svg.cloneNode(true);
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    const now = getComputedStyle(root);
    const names = [...new Set(document.getElementById("style").textContent.match(/--[a-z]+\d?(?=:)/g))];
    style.textContent = `svg{${names.map((n) => `${n}:${now.getPropertyValue(n)}`).join(";")};background:var(--bg)}`
      + document.getElementById("style").textContent.split("\n").filter((l) => /^(svg|\.grid|\.claim|\.s1|\.p95|\.f-)/.test(l)).join("");
    copy.prepend(style);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return new XMLSerializer().serializeToString(copy);
  };
  document.addEventListener("click", (event) => {
    const what = event.target.dataset ? event.target.dataset.save : undefined;
    if (what === "json") save(stem + ".json", "application/json", JSON.stringify(answer(), null, 1) + "\n");
    if (what === "csv") {
      const table = document.getElementById(event.target.dataset.of);
      save(`${stem}-${table.id}.csv`, "text/csv", csv(table));
    }
    if (what === "svg") {
      const svg = document.querySelector(`svg[data-name="${event.target.dataset.of}"]`);
      save(`${stem}-${event.target.dataset.of}.svg`, "image/svg+xml", picture(svg));
    }
    if (what === "print") print();
  });
})();
