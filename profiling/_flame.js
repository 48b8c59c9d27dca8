"use strict";
// Draws the flame graph of the JSON in #tree. Only text nodes and known class names are made from
// it, so that no name of the study becomes markup. `window.flame` is for tests.
(function () {
  const source = document.getElementById("tree");
  if (!source) return;
  const ROW = 21, NARROWEST = 0.8, NAMED = 22; // pixels
  const SHALLOW = 0.012, SLIM = 5; // rows in which no box has this share or pixels wait for a zoom
  const tree = JSON.parse(source.textContent);
  const frames = document.getElementById("frames");
  const about = document.getElementById("about");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const reset = document.getElementById("reset");
  const chips = document.getElementById("chips");
  const nodes = connect(tree.nodes);
  const whole = nodes[0].total || 1;
  let top = nodes[0], at = null, wanted = "", chosen = -1;

  function connect(rows) {
    const path = [], made = [];
    for (const [depth, name, line, total, mix] of rows) {
      const parent = depth ? path[depth - 1] : null;
      const node = {
        depth, total, line, mix, parent, below: [], id: made.length, filled: 0,
        function: tree.names[name][0], file: tree.names[name][1],
        left: parent ? parent.left + parent.filled : 0,
      };
      if (parent) { parent.below.push(node); parent.filled += total; }
      path[depth] = node;
      made.push(node);
    }
    return made;
  }

  function element(kind, name, words) {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (words !== undefined) made.textContent = words;
    return made;
  }

  function pairs(node) {
    if (typeof node.mix === "number") return [[node.mix, node.total]];
    const list = [];
    for (let i = 0; i < node.mix.length; i += 2) list.push([node.mix[i], node.mix[i + 1]]);
    return list;
  }

  const ofPhase = (node, phase) =>
    pairs(node).reduce((sum, [one, units]) => sum + (one === phase ? units : 0), 0);
  const matches = (node) =>
    wanted !== "" && node.depth > 0 &&
    (node.function.toLowerCase().includes(wanted) || node.file.toLowerCase().includes(wanted));
  const time = (units) => {
    const s = units / tree.unit;
    return s >= 1 ? s.toPrecision(s >= 1000 ? 4 : 3) + " s" : (s * 1000).toPrecision(3) + " ms";
  };
  const share = (units, of) => units > 0 && units / of < 0.001 ? "<0.1%"
    : ((100 * units) / of).toFixed(units / of < 0.0995 ? 1 : 0) + "%";

  function box(node, left, width, pixels, row, above) {
    const one = element("div", "box");
    const mixed = typeof node.mix !== "number";
    one.classList.add(mixed ? "mixed" : tree.phases[node.mix][1]);
    if (pixels < 6) one.classList.add("thin");
    if (above) one.classList.add("above");
    if (node === at) one.classList.add("at");
    const off = chosen >= 0 && !ofPhase(node, chosen);
    if (wanted ? !matches(node) : off) one.classList.add("dim");
    if (matches(node)) one.classList.add("hit");
    one.style.left = left + "%";
    one.style.width = width + "%";
    one.style.top = row * ROW + "px";
    one.dataset.id = node.id;
    if (pixels >= NAMED) one.append(node.function);
    if (mixed && pixels >= 3) strip(one, node);
    return one;
  }

  function strip(one, node) {
    let left = 0;
    for (const [phase, units] of pairs(node)) {
      const part = element("s", tree.phases[phase][1]);
      part.style.left = (100 * left) / node.total + "%";
      part.style.width = (100 * units) / node.total + "%";
      left += units;
      one.append(part);
    }
  }

  function lowest(width) {
    let deepest = top.depth;
    const waiting = [top];
    while (waiting.length) {
      const node = waiting.pop();
      if (node.total < Math.max(SHALLOW, SLIM / width) * top.total) continue;
      deepest = Math.max(deepest, node.depth);
      waiting.push(...node.below);
    }
    return deepest;
  }

  function draw() {
    const width = frames.clientWidth || 1000;
    const made = [], above = [];
    for (let node = top.parent; node; node = node.parent) above.unshift(node);
    above.forEach((node) => made.push(box(node, 0, 100, width, node.depth, true)));
    const waiting = [top], deepest = lowest(width);
    while (waiting.length) {
      const node = waiting.pop();
      const part = node.total / top.total;
      if (part * width < NARROWEST || node.depth > deepest) continue;
      const left = (100 * (node.left - top.left)) / top.total;
      made.push(box(node, left, 100 * part, part * width, node.depth, false));
      waiting.push(...node.below);
    }
    frames.replaceChildren(...made);
    frames.style.height = (deepest + 1) * ROW + "px";
    reset.hidden = top === nodes[0] && !wanted && chosen < 0;
    tell(at || top);
  }

  function tell(node) {
    const first = element("div"), second = element("div");
    first.append(element("b", "", node.function));
    first.append(time(node.total) + ", " + share(node.total, whole) + " of the whole");
    if (top !== nodes[0] && node !== top) {
      first.append(", " + share(node.total, top.total) + " of what is shown");
    }
    if (node.file) first.append(element("small", "", node.file + (node.line > 0 ? ":" + node.line : "")));
    const mix = pairs(node).sort((a, b) => b[1] - a[1]).slice(0, 6);
    second.textContent = mix
      .map(([phase, units]) => tree.phases[phase][0] + " " + share(units, node.total)).join(" · ");
    about.replaceChildren(first, second);
  }

  function look() {
    wanted = search.value.trim().toLowerCase();
    let units = 0, count = 0;
    const waiting = [nodes[0]];
    while (waiting.length) { // a match below a match is not counted twice
      const node = waiting.pop();
      if (matches(node)) { units += node.total; count += 1; } else waiting.push(...node.below);
    }
    found.textContent = !wanted ? "" : !count ? "nothing found"
      : time(units) + ", " + share(units, whole) + " in " + count + (count === 1 ? " place" : " places");
    draw();
  }

  function zoom(node) { top = node; at = null; draw(); }

  function all() {
    top = nodes[0]; at = null; chosen = -1; search.value = "";
    press();
    look();
  }

  function press() {
    [...chips.children].forEach((chip, i) => chip.setAttribute("aria-pressed", String(i === chosen)));
  }

  function walk(key) {
    const node = at || top, sides = node.parent ? node.parent.below : [node];
    const index = sides.indexOf(node);
    if (key === "ArrowUp") at = node.parent || node;
    else if (key === "ArrowDown") at = node.below[0] || node;
    else if (key === "ArrowLeft") at = sides[Math.max(0, index - 1)];
    else at = sides[Math.min(sides.length - 1, index + 1)];
    if (at.depth < top.depth) top = at;
    draw();
  }

  tree.phases.forEach(([name, style], number) => {
    const chip = element("button");
    chip.type = "button";
    chip.append(element("i", style), name + " " + share(ofPhase(nodes[0], number), whole));
    chip.classList.add(style);
    chip.setAttribute("aria-pressed", "false");
    chip.addEventListener("click", () => {
      chosen = chosen === number ? -1 : number;
      press();
      draw();
    });
    chips.append(chip);
  });
  const under = (event) => {
    const one = event.target.closest(".box");
    return one && nodes[Number(one.dataset.id)];
  };
  frames.addEventListener("click", (event) => { const node = under(event); if (node) zoom(node); });
  frames.addEventListener("mouseover", (event) => { const node = under(event); if (node) tell(node); });
  frames.addEventListener("mouseleave", () => tell(at || top));
  frames.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow")) { event.preventDefault(); walk(event.key); }
    if (event.key === "Enter" && at) zoom(at);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") all(); });
  search.addEventListener("input", look);
  reset.addEventListener("click", all);
  addEventListener("resize", draw);
  window.flame = { nodes, top: () => top };
  draw();
})();
