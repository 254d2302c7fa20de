"use strict";
// The tree, its cut and its layout: without a document, the same to the bit as in Python.

function makeTree(left, right, height, leafOrder, isWrong) {
  const n = leafOrder.length, nodes = 2 * n - 1;
  const tree = {
    n, root: nodes - 1, leafOrder,
    left: new Int32Array(nodes).fill(-1), right: new Int32Array(nodes).fill(-1),
    parent: new Int32Array(nodes).fill(-1), height: new Float64Array(nodes),
    size: new Int32Array(nodes).fill(1), start: new Int32Array(nodes), errors: null,
  };
  for (let i = 0; i < n - 1; i++) {
    const node = n + i;
    tree.left[node] = left[i]; tree.right[node] = right[i]; tree.height[node] = height[i];
    tree.parent[left[i]] = tree.parent[right[i]] = node;
    tree.size[node] = tree.size[left[i]] + tree.size[right[i]];
  }
  for (let node = nodes - 1; node >= n; node--) {
    tree.start[tree.left[node]] = tree.start[node];
    tree.start[tree.right[node]] = tree.start[node] + tree.size[tree.left[node]];
  }
  if (isWrong) {
    tree.errors = new Int32Array(nodes);
    for (let i = 0; i < n; i++) tree.errors[i] = isWrong(i) ? 1 : 0;
    for (let node = n; node < nodes; node++)
      tree.errors[node] = tree.errors[tree.left[node]] + tree.errors[tree.right[node]];
  }
  return tree;
}

function nextToSplit(tree, waiting, rule) {
  if (rule === "breadth") return 0;
  const first = { distance: tree.height, size: tree.size, errors: tree.errors }[rule];
  let best = 0;
  for (let i = 1; i < waiting.length; i++) {
    const a = waiting[i], b = waiting[best];
    const gap = first[a] - first[b] || tree.height[a] - tree.height[b] || a - b;
    if (gap > 0) best = i;
  }
  return best;
}

function splitBox([x0, y0, x1, y1], sizes, imageSize, padding, labelHeight) {
  x0 += padding; y0 += padding + labelHeight; x1 -= padding; y1 -= padding;
  const w = x1 - x0, h = y1 - y0, isWide = w >= h;
  const frame = 2 * padding + (isWide ? 0 : labelHeight);
  const [length, across] = isWide ? [w, h - labelHeight] : [h, w];
  const cells = Math.floor((length - padding - 2 * frame) / imageSize);
  if (cells < 2 || across - 2 * padding < imageSize) return null;
  const smaller = sizes[1] < sizes[0] ? 1 : 0;
  const own = Math.max(1, Math.floor(cells * sizes[smaller] / (sizes[0] + sizes[1])));
  const extent = (smaller === 0 ? own : cells - own) * imageSize + frame;
  return isWide
    ? [[x0, y0, x0 + extent, y1], [x0 + extent + padding, y0, x1, y1]]
    : [[x0, y0, x1, y0 + extent], [x0, y0 + extent + padding, x1, y1]];
}

function layoutTree(tree, { k, node, rule, width, height, imageSize, padding, labelHeight }) {
  const boxes = new Map([[node, { node, box: [0, 0, width, height], isLeaf: true }]]);
  const waiting = [node];
  let nStay = 0;
  while (waiting.length && waiting.length + nStay < k) {
    const [next] = waiting.splice(nextToSplit(tree, waiting, rule), 1);
    const children = [tree.left[next], tree.right[next]];
    const parts = children[0] < 0 ? null : splitBox(
      boxes.get(next).box, children.map(c => tree.size[c]), imageSize, padding, labelHeight);
    if (!parts) { nStay += 1; continue; }
    boxes.get(next).isLeaf = false;
    children.forEach((child, i) => {
      boxes.set(child, { node: child, box: parts[i], isLeaf: true });
      waiting.push(child);
    });
  }
  return [...boxes.values()];
}

function cellsOf([x0, y0, x1, y1], imageSize, padding, labelHeight) {
  return {
    columns: Math.max(0, Math.floor((x1 - x0 - 2 * padding) / imageSize)),
    rows: Math.max(0, Math.floor((y1 - y0 - 2 * padding - labelHeight) / imageSize)),
    x: x0 + padding, y: y0 + padding + labelHeight,
  };
}

function shownMembers(nMembers, nCells) {
  return Array.from({ length: Math.min(nMembers, nCells) }, (_, j) =>
    nMembers <= nCells ? j : Math.floor(j * nMembers / nCells));
}

if (typeof module !== "undefined")
  module.exports = { makeTree, layoutTree, cellsOf, shownMembers };

// The page.

function startPage() {
  const $ = id => document.getElementById(id);
  const data = JSON.parse($("dendromap-data").textContent);
  const decode = (text, Type) =>
    new Type(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
  const ints = name => data[name] === undefined ? null : decode(data[name], Int32Array);
  const y = ints("y"), predicted = ints("y_pred"), names = data.class_names || [];
  const tile = ints("tile"), similar = ints("similar"), nSimilar = data.n_similar;
  const isWrong = y && predicted ? i => y[i] !== predicted[i] : null;
  const tree = makeTree(ints("left"), ints("right"), decode(data.height, Float64Array),
    ints("leaf_order"), isWrong);
  const PADDING = 4, LABEL = 14, ACROSS = 64;  // tiles in a row of a sprite
  const state = { node: tree.root, k: data.k, rule: data.rule, imageSize: data.image_size,
    overlay: isWrong ? "errors" : "none", item: -1, marked: -1 };
  const canvas = $("map"), context = canvas.getContext("2d");
  let boxes = [];

  const sprites = data.sprites.map(uri => {
    const image = new Image();
    image.onload = draw;
    image.src = uri;
    return image;
  });

  // Sprites at the size that is shown: thousands of copies are then not scaled one by one.
  let scaled = { size: 0, sheets: [] };
  function sheetAt(i, size) {
    if (scaled.size !== size) scaled = { size, sheets: [] };
    if (!scaled.sheets[i] && sprites[i].complete) {
      const sheet = document.createElement("canvas"), by = size / data.tile_size;
      sheet.width = sprites[i].width * by; sheet.height = sprites[i].height * by;
      const own = sheet.getContext("2d");
      own.imageSmoothingEnabled = by < 1;
      own.drawImage(sprites[i], 0, 0, sheet.width, sheet.height);
      scaled.sheets[i] = sheet;
    }
    return scaled.sheets[i];
  }

  const color = c => c < 0 ? "#9aa3ad" : `hsl(${(c * 137.5) % 360} 55% 55%)`;
  const members = node =>
    tree.leafOrder.subarray(tree.start[node], tree.start[node] + tree.size[node]);
  const classOf = item => y ? y[item] : predicted ? predicted[item] : -1;
  const nameOf = c => c < 0 ? "" : names[c];
  const percent = share => `${(100 * share).toFixed(share < 0.1 || (share > 0.9 && share < 1) ? 1 : 0)} %`;

  function countClasses(node) {
    const counts = names.map(() => ({ count: 0, right: 0, predicted: 0 }));
    for (const item of members(node)) {
      if (classOf(item) >= 0) counts[classOf(item)].count += 1;
      if (isWrong) {
        counts[predicted[item]].predicted += 1;
        if (!isWrong(item)) counts[y[item]].right += 1;
      }
    }
    return counts;
  }

  const labels = new Map();
  function label(node) {
    if (!labels.has(node)) labels.set(node, makeLabel(node));
    return labels.get(node);
  }

  function makeLabel(node) {
    const parts = [tree.size[node].toLocaleString("en")];
    if (isWrong) parts.push(percent(1 - tree.errors[node] / tree.size[node]) + " right");
    if (names.length) {
      const counts = countClasses(node).map(c => c.count);
      parts.push(`most ${nameOf(counts.indexOf(Math.max(...counts)))}`);
    }
    return parts.join(" \u00b7 ");
  }

  function drawItem(target, item, x, yTop, size) {
    const place = tile ? tile[item] : -1;
    if (place < 0) {
      target.fillStyle = color(classOf(item));
      target.fillRect(x + 1, yTop + 1, size - 2, size - 2);
      return;
    }
    const rest = place % (ACROSS * ACROSS), i = Math.floor(place / (ACROSS * ACROSS));
    const isMap = target === context, own = isMap ? size : data.tile_size;
    const sheet = isMap ? sheetAt(i, size) : sprites[i];
    if (sheet) target.drawImage(sheet, (rest % ACROSS) * own, Math.floor(rest / ACROSS) * own,
      own, own, x, yTop, size, size);
  }

  function outline(x, yTop, size, style, width) {
    context.globalAlpha = 1;
    context.strokeStyle = style; context.lineWidth = width;
    context.strokeRect(x + width / 2, yTop + width / 2, size - width, size - width);
  }

  function isFaint(item) {
    if (state.marked >= 0) return classOf(item) !== state.marked;
    return state.overlay === "errors" && !isWrong(item);
  }

  function draw() {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1, size = state.imageSize;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingEnabled = false;
    context.font = "11px system-ui, sans-serif"; context.textBaseline = "top";
    boxes = layoutTree(tree, { ...state, width, height, padding: PADDING, labelHeight: LABEL });
    const near = new Set(state.item < 0 || !similar ? []
      : similar.subarray(state.item * nSimilar, (state.item + 1) * nSimilar));
    const highest = tree.height[tree.root] || 1;
    for (const { node, box: [x0, y0, x1, y1], isLeaf } of boxes) {
      const grey = Math.round(255 * (1 - 0.85 * tree.height[node] / highest));
      context.globalAlpha = 1;
      context.fillStyle = isLeaf ? "#ffffff" : `rgb(${grey},${grey},${grey})`;
      context.fillRect(x0, y0, x1 - x0, y1 - y0);
      context.fillStyle = !isLeaf && grey < 140 ? "#ffffff" : "#24292f";
      context.save();
      context.beginPath(); context.rect(x0 + PADDING, y0, x1 - x0 - 2 * PADDING, LABEL + 3);
      context.clip();
      context.fillText(label(node), x0 + PADDING, y0 + 3);
      context.restore();
      if (!isLeaf) continue;
      const rows = members(node), cells = cellsOf([x0, y0, x1, y1], size, PADDING, LABEL);
      shownMembers(rows.length, cells.columns * cells.rows).forEach((member, j) => {
        const item = rows[member];
        const x = cells.x + size * (j % cells.columns);
        const top = cells.y + size * Math.floor(j / cells.columns);
        context.globalAlpha = isFaint(item) ? 0.25 : 1;
        drawItem(context, item, x, top, size);
        if (state.overlay === "errors" && isWrong(item)) outline(x, top, size, "#d55e00", 2);
        if (near.has(item)) outline(x, top, size, "#0072b2", 2);
        if (item === state.item) outline(x, top, size, "#000000", 3);
      });
    }
    context.globalAlpha = 1;
  }

  function itemAt(box, px, py) {
    const rows = members(box.node), size = state.imageSize;
    const cells = cellsOf(box.box, size, PADDING, LABEL);
    const column = Math.floor((px - cells.x) / size), row = Math.floor((py - cells.y) / size);
    if (column < 0 || row < 0 || column >= cells.columns || row >= cells.rows) return -1;
    const shown = shownMembers(rows.length, cells.columns * cells.rows);
    const j = row * cells.columns + column;
    return j < shown.length ? rows[shown[j]] : -1;
  }

  const boxAt = (px, py) => boxes.findLast(({ box: [x0, y0, x1, y1] }) =>
    px >= x0 && px < x1 && py >= y0 && py < y1);

  function element(tag, text, onclick) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (onclick) made.onclick = onclick;
    return made;
  }

  function thumbnail(item, size) {
    const made = element("canvas", "", () => select(item));
    made.width = made.height = size;
    made.title = `item ${item}`;
    made.getContext("2d").imageSmoothingEnabled = false;
    drawItem(made.getContext("2d"), item, 0, 0, size);
    return made;
  }

  function showPath() {
    const path = [];
    for (let node = state.node; node >= 0; node = tree.parent[node]) path.unshift(node);
    const skip = Math.max(0, path.length - 6);
    $("path").replaceChildren(...path.filter((_, i) => i === 0 || i >= skip).map((node, i) => {
      const button = element("button", i ? tree.size[node].toLocaleString("en") : "all",
        () => go(node));
      button.disabled = node === state.node;
      return button;
    }));
    $("status").textContent = `${label(state.node)} \u00b7 ${
      percent(tree.size[state.node] / tree.n)} of all`;
  }

  function showClasses() {
    const table = $("classes"), all = tree.size[state.node];
    if (!names.length) return;
    const head = isWrong
      ? ["class", "count", "accuracy", "precision", "missed", "false", "share"]
      : ["class", "count", "share"];
    const share = (a, b) => b ? percent(a / b) : "";
    const rows = countClasses(state.node).map((c, i) => ({ ...c, i }))
      .filter(c => c.count || c.predicted).sort((a, b) => b.count - a.count).map(c => {
        const cells = [nameOf(c.i), c.count];
        if (isWrong) cells.push(share(c.right, c.count), share(c.right, c.predicted),
          c.count - c.right, c.predicted - c.right);
        const row = element("tr", "", () => mark(state.marked === c.i ? -1 : c.i));
        row.className = state.marked === c.i ? "marked" : "";
        row.append(...[...cells, share(c.count, all)].map(cell => element("td", cell)));
        return row;
      });
    const header = element("tr", "");
    header.append(...head.map(cell => element("th", cell)));
    table.replaceChildren(header, ...rows);
  }

  function showItem() {
    const { item } = state, panel = $("item");
    panel.hidden = item < 0;
    if (item < 0) return;
    const words = [`item ${item}`];
    if (y) words.push(`class ${nameOf(y[item])}`);
    if (predicted) words.push(`predicted ${nameOf(predicted[item])}`);
    const around = element("div", "");
    if (similar) around.append(...Array.from(
      similar.subarray(item * nSimilar, (item + 1) * nSimilar), other => thumbnail(other, 40)));
    panel.replaceChildren(thumbnail(item, 160), element("p", words.join(", ")),
      element("p", similar ? "most similar:" : ""), around);
  }

  function show() { draw(); showPath(); showClasses(); showItem(); }
  function go(node) { if (node >= 0) { state.node = node; show(); } }
  function select(item) { state.item = item; draw(); showItem(); }
  function mark(c) { state.marked = c; draw(); showClasses(); }

  canvas.onclick = event => {
    const box = boxAt(event.offsetX, event.offsetY);
    if (!box) return;
    const item = box.isLeaf ? itemAt(box, event.offsetX, event.offsetY) : -1;
    if (item >= 0) select(item);
    else go(box.node === state.node ? tree.parent[box.node] : box.node);
  };
  canvas.onmousemove = event => {
    const box = boxAt(event.offsetX, event.offsetY);
    const item = box && box.isLeaf ? itemAt(box, event.offsetX, event.offsetY) : -1;
    canvas.title = item >= 0
      ? [`item ${item}`, nameOf(classOf(item))].filter(Boolean).join(", ")
      : box ? label(box.node) : "";
  };
  document.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") return go(tree.parent[state.node]);
    if (/INPUT|SELECT/.test(event.target.tagName)) return;
    if (step) {
      const rows = members(state.node), place = rows.indexOf(state.item);
      const next = place < 0 ? 0 : (place + step + rows.length) % rows.length;
      select(rows[next]);
    } else if (event.key === "Enter" && state.item >= 0) {
      const inside = boxes.find(b => b.isLeaf && members(b.node).includes(state.item));
      if (inside) go(inside.node);
    } else if (event.key === "+" || event.key === "-") {
      state.k = Math.min(200, Math.max(2, state.k + (event.key === "+" ? 1 : -1)));
      $("k").value = state.k;
      show();
    }
  };
  $("k").oninput = () => { state.k = Number($("k").value); show(); };
  $("size").oninput = () => { state.imageSize = Number($("size").value); show(); };
  $("rule").onchange = () => { state.rule = $("rule").value; show(); };
  $("overlay").onchange = () => { state.overlay = $("overlay").value; draw(); };
  $("find").onchange = () => {
    const text = $("find").value.trim().toLowerCase(), number = Number(text);
    const found = names.findIndex(name => name.toLowerCase() === text);
    if (found >= 0 || text === "") mark(found);
    else if (Number.isInteger(number) && number >= 0 && number < tree.n) {
      if (!members(state.node).includes(number)) go(tree.root);
      select(number);
    } else $("status").textContent = `nothing is called "${text}"`;
  };
  window.onresize = draw;
  $("k").value = state.k; $("size").value = state.imageSize; $("rule").value = state.rule;
  if (!isWrong) for (const id of ["overlay", "by-errors"]) $(id).remove();
  else $("overlay").value = state.overlay;
  window.dendromap = { state, draw, tree };
  show();
}

if (typeof document !== "undefined") startPage();
