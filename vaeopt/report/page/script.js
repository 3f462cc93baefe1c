"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const trials = read("trials");
  const card = document.getElementById("card");
  const parts = {
    title: card.querySelector("h4"), note: card.querySelector("p"),
    image: card.querySelector("img"), rows: card.querySelector("tbody"),
  };
  const pointer = { x: 0, y: 0 };
  let pinned = null, opener = null, down = [0, 0];

  for (const image of document.querySelectorAll("img[data-picture]")) {
    image.src = trials[image.dataset.picture].image;
  }

  /* ---- the card of a trial ---- */
  function fill(number) {
    const trial = trials[number];
    parts.title.textContent = `Trial ${number}`;
    parts.note.textContent = trial.note;
    parts.note.hidden = !trial.note;
    parts.image.hidden = !trial.image;
    if (trial.image) {
      parts.image.src = trial.image;
      parts.image.alt = `Latents of trial ${number}, coloured by component`;
    }
    parts.rows.replaceChildren();
    const add = (name, value, kind) => {
      const row = parts.rows.insertRow();
      row.className = kind;
      row.insertCell().textContent = name;
      row.insertCell().textContent = value;
    };
    trial.values.forEach(([name, value]) => add(name, value, "value"));
    if (trial.components) add("components", trial.components, "value");
    trial.params.forEach(([name, value]) => add(name, value, "param"));
  }

  function place(x, y) {
    const gap = 22, edge = 8;
    card.hidden = false;
    const { width, height } = card.getBoundingClientRect();
    let left = x + gap, top = y + gap;
    if (left + width > innerWidth - edge) left = x - gap - width;
    if (top + height > innerHeight - edge) top = innerHeight - edge - height;
    card.style.left = `${Math.max(edge, left)}px`;
    card.style.top = `${Math.max(edge, top)}px`;
  }

  function show(number, x = pointer.x, y = pointer.y) {
    if (pinned !== null || !(number in trials)) return;
    fill(number);
    place(x, y);
  }

  function hide() {
    if (pinned === null) card.hidden = true;
  }

  function pin(number, from) {
    if (!(number in trials)) return;
    pinned = null;
    fill(number);
    card.classList.add("pinned");
    let { x, y } = pointer;
    if (from) {
      const box = from.getBoundingClientRect();
      [x, y] = [box.right, box.top];
    }
    place(x, y);
    pinned = number;
    opener = from || null;
    if (from) card.querySelector(".close").focus({ preventScroll: true });
  }

  function unpin() {
    pinned = null;
    card.classList.remove("pinned");
    card.hidden = true;
    if (opener) opener.focus({ preventScroll: true });
    opener = null;
  }

  function toRow() {
    const row = document.getElementById(`trial-${pinned}`);
    opener = null;
    unpin();
    if (!row) return;
    document.querySelectorAll("tr.marked").forEach((one) => one.classList.remove("marked"));
    row.hidden = false;
    row.classList.add("marked");
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  }

  card.querySelector(".close").addEventListener("click", unpin);
  card.querySelector(".row").addEventListener("click", toRow);
  addEventListener("pointermove", (event) => { [pointer.x, pointer.y] = [event.clientX, event.clientY]; });
  addEventListener("pointerdown", (event) => { [pointer.x, pointer.y] = [event.clientX, event.clientY]; });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") (pinned === null ? hide : unpin)();
  });
  addEventListener("scroll", hide, { passive: true });
  addEventListener("click", (event) => {
    if (pinned === null || event.target.closest("#card, .plot")) return;
    opener = null;
    unpin();
  });

  for (const button of document.querySelectorAll("button[data-trial]")) {
    const number = button.dataset.trial;
    button.addEventListener("click", (event) => { event.stopPropagation(); pin(number, button); });
    button.addEventListener("mouseenter", () => show(number));
    button.addEventListener("mouseleave", hide);
  }

  /* ---- figures, drawn when they come near ---- */
  const trialOf = (point) => {
    const held = Array.isArray(point.customdata) ? point.customdata[0] : point.customdata;
    return Number.isInteger(held) ? String(held) : null;
  };

  function fit(plot, layout) {
    const width = plot.clientWidth;
    if (width >= 600) return;
    const axes = Object.keys(layout).filter((name) => /^[xy]axis/.test(name)).map((name) => layout[name]);
    const lefts = Object.keys(layout).filter((name) => /^xaxis/.test(name))
      .map((name) => ((layout[name].domain || [0])[0]).toFixed(2));
    const columns = new Set(lefts).size;
    if (columns > 1) {
      layout.width = 270 * columns; // side by side: scrolled rather than squeezed
      return;
    }
    layout.margin = { ...layout.margin, l: Math.min((layout.margin || {}).l ?? 60, 56), r: 8 };
    layout.legend = { ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" };
    if (axes.some((axis) => axis.scaleanchor)) layout.height = Math.min(layout.height, width + 120);
  }

  function draw(plot) {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const { data, layout } = read(`figure-${plot.dataset.figure}`);
    const linked = "trials" in plot.dataset;
    if (linked) {
      // The card says it all, and with a picture.
      data.filter((trace) => trace.customdata !== undefined).forEach((trace) => {
        delete trace.hovertemplate;
        trace.hoverinfo = "none";
      });
    }
    fit(plot, layout);
    // The bar of buttons stands in the right margin, which a narrow page has no room for.
    const displayModeBar = plot.clientWidth < 600 ? false : "hover";
    const config = { responsive: true, displaylogo: false, scrollZoom: false, displayModeBar };
    Plotly.newPlot(plot, data, layout, config);
    if (!linked) return;
    let under = null; // trial of the point under the pointer
    plot.on("plotly_hover", (event) => {
      under = trialOf(event.points[0]);
      if (under !== null) show(under);
    });
    plot.on("plotly_unhover", () => {
      under = null;
      hide();
    });
    plot.on("plotly_click", (event) => {
      const number = trialOf(event.points[0]);
      if (number !== null) pin(number);
    });
    // In 3-D a click counts within 5 px of the centre only, less than what a point is hovered at.
    plot.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; }, true);
    plot.addEventListener("pointerup", (event) => {
      const moved = Math.hypot(event.clientX - down[0], event.clientY - down[1]);
      if (under !== null && moved < 4) pin(under);
    }, true);
  }

  const plots = [...document.querySelectorAll(".plot")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "900px" });
  plots.forEach((plot) => near.observe(plot));
  addEventListener("beforeprint", () => plots.forEach(draw));

  /* ---- tables ---- */
  function sortBy(head) {
    const row = head.parentElement, body = head.closest("table").tBodies[0];
    const column = [...row.cells].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of row.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (line) => {
      const cell = line.cells[column];
      return head.classList.contains("n") ? parseFloat(cell.dataset.v) : cell.textContent;
    };
    const empty = (value) => value === "" || Number.isNaN(value);
    const lines = [...body.rows].map((line) => [key(line), line]);
    lines.sort(([a], [b]) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b);
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return down ? -order : order;
    });
    body.append(...lines.map(([, line]) => line));
  }
  for (const head of document.querySelectorAll("table.sortable thead th")) {
    head.querySelector("button").addEventListener("click", () => sortBy(head));
  }

  const words = document.getElementById("filter-words");
  const status = document.getElementById("filter-status");
  const count = document.getElementById("filter-count");
  function filter() {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    const rows = document.querySelectorAll("tr[data-status]");
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const kind = row.dataset.status;
      const alike = status.value === "" || kind === status.value ||
        (status.value === "healthy" && kind === "front");
      row.hidden = !(alike && wanted.every((word) => text.includes(word)));
      left += !row.hidden;
    }
    count.textContent = `${left} of ${rows.length} trials`;
  }
  words.addEventListener("input", filter);
  status.addEventListener("change", filter);
  filter();

  /* ---- where we are ---- */
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(entry.target.id);
      if (link) link.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main > section").forEach((part) => seen.observe(part));
})();
