"use strict";
// Names of models and classes, and all messages, are untrusted text: they go into the page by textContent alone.

const $ = (id) => document.getElementById(id);
const make = (tag, text, props = {}) => Object.assign(document.createElement(tag), { textContent: text ?? "" }, props);
let model = null;
let samples = [];

async function reach(path, options = {}) {
  const headers = { ...options.headers, ...($("key").value ? { Authorization: "Bearer " + $("key").value } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const problem = await response.json();
  throw new Error(problem.detail || problem.title || "status " + response.status);
}

async function ask(path, body) {
  if (!body) return (await reach(path)).json();
  $("request").textContent = "POST /" + path + "\n" + JSON.stringify(body, null, 1).slice(0, 4000);
  return (await reach(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
}

async function busy(button, place, work) {
  button.disabled = true;
  place.replaceChildren();
  try {
    await work();
  } catch (error) {
    place.replaceChildren(make("p", error.message, { className: "problem" }));
  } finally {
    button.disabled = false;
  }
}

async function listModels() {
  const chosen = $("model").value;
  try {
    const { models } = await ask("models");
    $("model").replaceChildren(...models.map(({ name }) => make("option", name, { value: name })));
    if (models.some(({ name }) => name === chosen)) $("model").value = chosen;
    $("state").textContent = models.length ? models.length + " models" : "the store is empty";
    if (models.length) await chooseModel();
  } catch (error) {
    $("state").textContent = error.message;
  }
}

async function chooseModel() {
  model = await ask("models/" + encodeURIComponent($("model").value));
  const { data, condition } = model.signature;
  const kind = { none: "no condition", label: (model.classes || []).length + " classes", vector: "a vector condition", image: "an image condition" }[condition.kind];
  $("about").textContent = "version " + model.version + ", " + model.family + ", " + model.parameters + " parameters, x of shape " +
    data.shape.join(" x ") + (data.dtype === "uint8" ? " (integers 0.." + (data.levels - 1) + ")" : "") + ", " + kind;
  $("card").open = $("card").hidden = false;
  $("infer").disabled = condition.kind === "none";
  for (const id of ["samples", "scores", "inferred", "card-text"]) $(id).replaceChildren();
  $("x").value = "";
  samples = [];
  showCondition(condition);
}

function showCondition(condition) {
  const place = $("condition");
  place.replaceChildren();
  if (condition.kind === "label") {
    const select = make("select", "", { id: "label" });
    select.append(...condition.classes.map((name, index) => make("option", name, { value: index })));
    const label = make("label", "Class ");
    label.append(select);
    place.append(label);
  } else if (condition.kind !== "none") {
    const { shape, names } = condition.array;
    const label = make("label", "Condition, " + shape.join(" x ") + " numbers as JSON" + (names ? ": " + names.join(", ") : ""));
    label.append(make("textarea", JSON.stringify(fill(shape)), { id: "numbers", spellcheck: false }));
    place.append(label);
  }
}

// A link could not send the key, so the card is fetched when it is opened.
async function showCard() {
  if (!$("card").open) return;
  const place = $("card-text"), asked = model;
  let shown;
  try {
    const card = await reach("models/" + encodeURIComponent(asked.name) + "/versions/" + asked.version + "/files/card.md");
    shown = make("pre", await card.text());
  } catch (error) {
    shown = make("p", error.message, { className: "problem" });
  }
  if (asked === model) place.replaceChildren(shown);
}

// Nor could it send the key for the reference, which then takes the place of this page.
async function showReference(event) {
  if (!$("key").value) return;
  event.preventDefault();
  try {
    const [page, described] = await Promise.all([reach("docs"), reach("openapi.json")]);
    const { body } = new DOMParser().parseFromString(await page.text(), "text/html");
    const file = URL.createObjectURL(await described.blob());
    Object.assign(body.querySelector('a[href="openapi.json"]'), { href: file, download: "openapi.json" });
    document.body.replaceWith(body);
  } catch (error) {
    $("state").textContent = error.message;
  }
}

const fill = ([first, ...rest]) => Array.from({ length: first }, () => (rest.length ? fill(rest) : 0));

function condition() {
  const kind = model.signature.condition.kind;
  if (kind === "none") return {};
  return { condition: kind === "label" ? Number($("label").value) : JSON.parse($("numbers").value) };
}

async function draw() {
  const body = { model: model.name, ...condition(), num_samples: Number($("count").value), temperature: Number($("temperature").value) };
  if ($("seed").value !== "") body.seed = Number($("seed").value);
  const answer = await ask("sample", body);
  samples = answer.samples;
  warn($("samples"), answer.extrapolated);
  const { shape } = model.signature.data;
  const place = $("samples");
  if (shape.length === 3) place.append(thumbnails());
  else if (shape.length === 1 && shape[0] === 2) place.append(scatter());
  else place.append(make("pre", samples.slice(0, 20).map((row) => JSON.stringify(row)).join("\n")));
  place.append(make("p", "seed " + answer.seed + ", " + answer.model + " version " + answer.version, { className: "quiet" }));
  pick(0);
}

function pick(index) {
  $("x").value = JSON.stringify([samples[index]]);
  document.querySelectorAll(".thumbs button").forEach((button, place) => button.setAttribute("aria-pressed", place === index));
}

function thumbnails() {
  const box = make("div", "", { className: "thumbs" });
  const { shape: [channels, height, width], dtype, levels } = model.signature.data;
  const flat = samples.flat(3);
  const low = dtype === "uint8" ? 0 : flat.reduce((a, b) => Math.min(a, b), Infinity);
  const high = dtype === "uint8" ? levels - 1 : flat.reduce((a, b) => Math.max(a, b), -Infinity);
  const tone = (value) => (255 * (value - low)) / (high - low || 1);
  samples.slice(0, 200).forEach((sample, index) => {
    const canvas = make("canvas", "", { width, height });
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const colour = [0, 1, 2].map((c) => tone(sample[channels === 3 ? c : 0][y][x]));
        picture.data.set([...colour, 255], 4 * (y * width + x));
      }
    context.putImageData(picture, 0, 0);
    const button = make("button", "", { ariaLabel: "sample " + index, onclick: () => pick(index) });
    button.append(canvas);
    box.append(button);
  });
  return box;
}

function scatter() {
  const size = 420, margin = 24;
  const canvas = make("canvas", "", { width: size, height: size });
  const span = [0, 1].map((axis) => {
    const values = samples.map((row) => row[axis]).filter(Number.isFinite);
    const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * 0.05 || 1;
    return [low - pad, high + pad];
  });
  const place = (row) => [0, 1].map((axis) => {
    const share = (row[axis] - span[axis][0]) / (span[axis][1] - span[axis][0]);
    return margin + (axis ? 1 - share : share) * (size - 2 * margin);
  });
  const context = canvas.getContext("2d");
  context.fillStyle = "#2f6fde";
  for (const row of samples) {
    const [x, y] = place(row);
    context.beginPath();
    context.arc(x, y, 3, 0, 7);
    context.fill();
  }
  context.fillStyle = "#888";
  context.font = "12px system-ui";
  context.fillText(span[0].map((v) => v.toPrecision(3)).join(" .. "), margin, size - 6);
  context.save();
  context.translate(14, size - margin);
  context.rotate(-Math.PI / 2);
  context.fillText(span[1].map((v) => v.toPrecision(3)).join(" .. "), 0, 0);
  context.restore();
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect(), scale = size / box.width;
    const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const distance = (row) => { const [x, y] = place(row); return (x - at[0]) ** 2 + (y - at[1]) ** 2; };
    pick(samples.reduce((best, row, index) => (distance(row) < distance(samples[best]) ? index : best), 0));
  };
  return canvas;
}

function table(head, rows) {
  const element = make("table");
  const line = (cells, tag) => {
    const row = make("tr");
    row.append(...cells.map((cell) => (cell instanceof Node ? cell : make(tag, cell))));
    return row;
  };
  element.append(line(head, "th"), ...rows.map((cells) => line(cells, "td")));
  return element;
}

function warn(place, extrapolated) {
  if ([extrapolated].flat().includes(true)) place.append(make("p", "The condition lies outside what this version was fitted to.", { className: "problem" }));
}

const show = (value, digits = 4) => (typeof value === "number" ? value.toPrecision(digits) : value === null ? "not finite or unknown" : String(value));

async function score() {
  const given = $("marginal").checked ? {} : condition();
  const answer = await ask("loglik", { model: model.name, x: JSON.parse($("x").value), ...given });
  warn($("scores"), answer.extrapolated);
  const names = ["log_likelihood", "bits_per_dim", "percentile", "p_value", "std_error", "effective_sample_size"].filter((name) => answer[name]);
  const rows = answer.log_likelihood.map((_, row) => names.map((name) => show(answer[name][row])));
  $("scores").append(table(names.map((name) => name.replaceAll("_", " ")), rows), make("p", answer.estimator + ", density of the " + answer.space, { className: "quiet" }));
}

async function infer() {
  const answer = await ask("infer-condition", { model: model.name, x: JSON.parse($("x").value) });
  const place = $("inferred");
  if (answer.label) {
    const order = answer.probabilities[0].map((p, index) => [p, index]).sort((a, b) => b[0] - a[0]).slice(0, 10);
    place.append(make("p", "most likely: " + show(answer.label[0])));
    place.append(table(["class", "probability", ""], order.map(([p, index]) => {
      const bar = make("td", "", { className: "bar" });
      const filled = make("div");
      filled.style.width = 100 * (p || 0) + "%";
      bar.append(filled);
      return [model.classes[index], show(p, 3), bar];
    })));
  } else {
    place.append(make("pre", "condition " + JSON.stringify(answer.condition[0]) + "\nstd       " + JSON.stringify(answer.std[0])));
  }
}

$("model").onchange = () => chooseModel().catch((error) => { $("state").textContent = error.message; });
$("key").onchange = listModels;
$("card").ontoggle = showCard;
$("reference").onclick = showReference;
$("draw").onclick = () => busy($("draw"), $("samples"), draw);
$("score").onclick = () => busy($("score"), $("scores"), score);
$("infer").onclick = () => busy($("infer"), $("inferred"), infer);
listModels();
