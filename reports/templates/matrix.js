"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const table = find("matrix"), body = table.tBodies[0], panel = find("panel"), detail = find("detail");
  const lines = [...body.rows], heads = [...table.tHead.rows[0].cells].slice(1);
  const total = find("shown").textContent;

  // The details are parsed when they are first asked for.
  let parsed;
  const cells = () => (parsed ??= JSON.parse(find("data").textContent));

  // An element with text or children. Text is never parsed as HTML.
  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== undefined && child !== null));
    return element;
  };
  // As the other forms of the report do: no control characters, nothing that turns the direction of writing.
  const plain = (text) => text.replace(/\r\n?|[\u0085\u2028\u2029]/g, "\n")
    .replace(/\u001b\[[\u0020-\u003f]*[\u0040-\u007e]?/g, "")
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "");
  const words = (value) => plain(typeof value === "string" ? value : JSON.stringify(value));
  const params = (result) => Object.entries(result.params).map(([key, value]) => `${plain(key)}=${words(value)}`).join(", ");
  const time = (seconds) => seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
  const scenarioOf = (line) => line.cells[0].querySelector("b").textContent;

  // A file of the report, as a link only where it is a path below the report.
  const file = (path) => {
    const inside = !/^[a-z][a-z0-9+.-]*:/i.test(path) && !/^[\\/]/.test(path) && !path.split(/[\\/]/).includes("..");
    const shown = plain(path);
    return inside ? make("a", { href: path.split("/").map(encodeURIComponent).join("/") }, shown) : shown;
  };

  const command = (text) => {
    const copy = make("button", { type: "button", class: "plain" }, "copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "copied";
      } catch {
        // Without the right to the clipboard the text is selected instead.
        getSelection().selectAllChildren(copy.previousElementSibling);
        copy.textContent = "selected";
      }
    });
    return [make("h3", {}, "reproduce"), make("pre", {}, text), copy];
  };

  const one = (result, alone) => {
    const head = [make("b", { class: `word v-${result.verdict}` }, result.verdict)];
    if (params(result)) head.push(" ", params(result));
    const facts = [result.expected ? "expected" : "not expected"];
    if (result.attempts !== 1) facts.push(`${result.attempts} attempts`);
    facts.push(time(result.seconds));
    const parts = [make("p", { class: "where" }, facts.join(" · "))];
    if (result.cause) {
      parts.push(make("p", {}, make("b", {}, plain(result.cause.summary)), ` (${plain(result.cause.rule)})`));
      parts.push(make("ol", { class: "chain" }, ...result.cause.chain.map((link) =>
        make("li", {}, make("b", {}, plain(link.source)), link.at ? make("small", {}, plain(link.at)) : null,
          make("div", {}, plain(link.text).trimEnd())))));
    }
    if (result.repro) parts.push(...command(plain(result.repro)));
    if (result.evidence.length) {
      parts.push(make("h3", {}, "evidence"), make("ul", {}, ...result.evidence.map((path) => make("li", {}, file(path)))));
    }
    const block = make("details", {}, make("summary", {}, ...head), ...parts);
    block.open = alone || result.verdict !== "pass";
    return block;
  };

  let opened;
  const open = (button, write = true) => {
    const entry = button.parentElement, line = entry.parentElement;
    const cell = cells()[entry.cellIndex - 1], scenario = scenarioOf(line);
    const results = cell.results.filter((result) => plain(result.scenario).split(/\s+/).join(" ").trim() === scenario);
    opened?.parentElement.classList.remove("open");
    opened = button;
    entry.classList.add("open");
    detail.replaceChildren(
      make("h2", {}, scenario),
      make("p", {}, plain(results[0].title)),
      make("p", { class: "where" }, plain(cell.name), " ", make("code", {}, plain(cell.id))),
      ...results.map((result) => one(result, results.length === 1)));
    panel.hidden = false;
    panel.scrollTop = 0;
    if (write) history.replaceState(null, "", `#${encodeURIComponent(cell.id)}/${encodeURIComponent(scenario)}`);
  };
  const close = () => {
    panel.hidden = true;
    opened?.parentElement.classList.remove("open");
    opened?.focus();
    opened = undefined;
    history.replaceState(null, "", location.pathname + location.search);
  };

  // One stop for the tab key in the whole table; the arrow keys move within it.
  let stop;
  const stopAt = (button) => {
    if (stop) stop.tabIndex = -1;
    stop = button;
    if (stop) stop.tabIndex = 0;
  };
  const next = (entry, across, down) => {
    let line = entry.parentElement, column = entry.cellIndex;
    for (;;) {
      if (down) {
        do line = down > 0 ? line.nextElementSibling : line.previousElementSibling; while (line?.hidden);
      }
      column += across;
      const candidate = line?.cells[column];
      if (!candidate || column < 1) return;
      if (candidate.firstElementChild && candidate.offsetParent) return candidate.firstElementChild;
    }
  };
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  body.addEventListener("keydown", (event) => {
    const button = event.target.closest("td button"), way = keys[event.key];
    if (!button || !way) return;
    event.preventDefault();
    next(button.parentElement, ...way)?.focus();
  });
  body.addEventListener("focusin", (event) => {
    const button = event.target.closest("td button");
    if (button) stopAt(button);
  });
  body.addEventListener("click", (event) => {
    const button = event.target.closest("td button");
    if (!button) return;
    open(button);
    // The keyboard's click has no pointer: go where the answer is.
    if (event.detail === 0) panel.focus();
  });
  find("close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden && event.target.type !== "search") close();
  });

  const follow = () => {
    const [id, scenario] = location.hash.slice(1).split("/").map((part) => {
      try { return decodeURIComponent(part); } catch { return part; }
    });
    if (!scenario) return;
    const column = cells().findIndex((cell) => cell.id === id);
    const line = lines.find((candidate) => scenarioOf(candidate) === scenario);
    const button = line?.cells[column + 1]?.firstElementChild;
    if (column < 0 || !button) return;
    if (line.hidden || !button.offsetParent) {
      find("filter").reset();
      filter();
    }
    open(button, false);
    stopAt(button);
    button.scrollIntoView({ block: "center", inline: "center" });
  };
  addEventListener("hashchange", follow);

  // Hidden columns are one rule in a sheet of their own, not an attribute on every entry.
  const sheet = document.head.appendChild(document.createElement("style"));
  const texts = lines.map((line) => line.cells[0].textContent.toLowerCase());
  // Parameters and causes can be searched as well; they join the text when the first word is typed.
  let joined = false;
  const join = () => {
    if (joined) return;
    joined = true;
    const more = new Map(lines.map((line) => [scenarioOf(line), new Set()]));
    for (const cell of cells()) {
      for (const result of cell.results) {
        const found = more.get(result.scenario);
        found?.add(params(result).toLowerCase());
        if (result.cause) found?.add(plain(result.cause.summary).toLowerCase());
      }
    }
    lines.forEach((line, index) => { texts[index] += ` ${[...more.get(scenarioOf(line))].join(" ")}`; });
  };
  const filter = () => {
    const rowWords = find("rows").value.toLowerCase().split(/\s+/).filter(Boolean);
    const columnWords = find("columns").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = [...document.querySelectorAll("#filter :checked")].map((box) => box.value);
    if (rowWords.length) join();
    const shown = heads.map((head, index) => !columnWords.length ||
      columnWords.every((word) => `${head.textContent} ${cells()[index].id}`.toLowerCase().includes(word)));
    sheet.textContent = shown.map((on, index) => on ? "" : `#matrix tr > :nth-child(${index + 2}) { display: none; }`).join("");
    const wanted = (entry) => verdicts.some((verdict) => entry.classList.contains(verdict === "red" ? "red" : `v-${verdict}`));
    let count = 0;
    lines.forEach((line, index) => {
      let on = rowWords.every((word) => texts[index].includes(word)), any = !verdicts.length && !columnWords.length;
      if (on) {
        [...line.cells].slice(1).forEach((entry, column) => {
          if (!entry.firstElementChild) return;
          const hit = !verdicts.length || wanted(entry);
          entry.classList.toggle("dim", !hit);
          any ||= hit && shown[column];
        });
      }
      on &&= any;
      line.hidden = !on;
      if (on) count += 1;
    });
    find("nothing").hidden = count > 0;
    const all = count === lines.length && shown.every(Boolean);
    find("shown").textContent = all ? total
      : `${count} of ${lines.length} scenarios in ${shown.filter(Boolean).length} of ${heads.length} cells`;
    if (!stop?.offsetParent) stopAt([...body.querySelectorAll("tr:not([hidden]) button")].find((button) => button.offsetParent));
  };
  let pending;
  find("filter").addEventListener("input", () => {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(filter);
  });
  find("filter").addEventListener("submit", (event) => event.preventDefault());

  stopAt(body.querySelector("button"));
  if (find("filter").querySelector(":checked") || find("rows").value || find("columns").value) filter();
  follow();
})();
