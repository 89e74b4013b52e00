// Everything from elsewhere is set as text, never as HTML: an id or a file name can be anything.
"use strict";

const at = (id) => document.getElementById(id);
const say = (text) => { at("message").textContent = text; };

async function call(method, path, body) {
  const key = sessionStorage.getItem("key");
  const answer = await fetch(path, { method, body, headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (answer.ok) return answer;
  const error = await answer.json().catch(() => ({ error: { message: answer.statusText } }));
  throw new Error(answer.status === 401 ? "An API key is needed: enter one above." : error.error.message);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function thumbnail(id) {
  const answer = await call("GET", `v1/thumbnails/${encodeURIComponent(id)}`);
  return createImageBitmap(await answer.blob());
}

function draw(bitmap, region, size) {
  const canvas = element("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  if (region.length && size[0]) {
    const scale = bitmap.width / size[0];
    context.beginPath();
    region.forEach(([x, y]) => context.lineTo((x + 0.5) * scale, (y + 0.5) * scale));
    context.closePath();
    context.lineWidth = Math.max(2, bitmap.width / 150);
    context.strokeStyle = "#f30";
    context.stroke();
  }
  return canvas;
}

async function pair(match, query) {
  const row = element("article", undefined, "pair");
  const facts = element("div");
  facts.append(element("div", match.id, "id"), element("span", match.verdict, `verdict ${match.verdict.replace(" ", "-")}`),
    element("div", `probability ${(100 * match.probability).toFixed(1)} %`), element("div", `score ${match.score.toFixed(3)}`));
  const evidence = match.evidence || { query_region: [], reference_region: [], query_size: [0, 0], reference_size: [0, 0] };
  row.append(facts, draw(query, evidence.query_region, evidence.query_size));
  try {
    row.append(draw(await thumbnail(match.id), evidence.reference_region, evidence.reference_size));
  } catch (error) {
    row.append(element("p", error.message));
  }
  return row;
}

async function matchFile(file) {
  at("results").replaceChildren();
  say("Matching ...");
  try {
    const form = new FormData();
    form.append("images", file, file.name || "pasted");
    const answer = await (await call("POST", "v1/match?k=5&evidence=true", form)).json();
    const item = answer.items[0];
    if (item.error) throw new Error(item.error);
    const query = await createImageBitmap(file);
    const rows = await Promise.all(item.matches.map((match) => pair(match, query)));
    at("results").replaceChildren(...rows);
    const found = item.matches.filter((match) => match.verdict !== "no match").length;
    say(`${found} of ${rows.length} shown are likely copies; ${answer.timings.total.toFixed(2)} s${item.damaged ? `; the image is damaged: ${item.damaged}` : ""}`);
  } catch (error) {
    say(error.message);
  }
}

async function listed(reference) {
  const entry = element("li");
  const remove = element("button", "Delete");
  remove.addEventListener("click", async () => {
    if (!confirm(`Delete ${reference.id}?`)) return;
    try {
      await call("DELETE", `v1/references/${encodeURIComponent(reference.id)}`);
      entry.remove();
      say(`${reference.id} is deleted`);
    } catch (error) { say(error.message); }
  });
  const picture = element("img");
  picture.alt = "";
  call("GET", `v1/thumbnails/${encodeURIComponent(reference.id)}`).then(async (answer) => {
    picture.src = URL.createObjectURL(await answer.blob());
  }).catch(() => picture.remove());
  entry.append(picture, element("div", reference.id, "id"), remove);
  return entry;
}

let next = null;
async function list(after, fresh) {
  try {
    const query = after ? `?limit=60&after=${encodeURIComponent(after)}` : "?limit=60";
    const page = await (await call("GET", `v1/references${query}`)).json();
    if (fresh) at("list").replaceChildren();
    at("list").append(...await Promise.all(page.items.map(listed)));
    next = page.next;
    at("more").hidden = next === null;
    say(`${page.count} references`);
  } catch (error) { say(error.message); }
}

function show(name) {
  for (const other of ["match", "references"]) {
    at(other).hidden = other !== name;
    at(`show-${other}`).setAttribute("aria-pressed", String(other === name));
  }
  say("");
  if (name === "references") list(null, true);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", at("key").value.trim());
  at("key").value = "";
  call("GET", "v1/references?limit=1").then(() => say("The key is accepted.")).catch((error) => say(error.message));
});
at("file").addEventListener("change", () => at("file").files[0] && matchFile(at("file").files[0]));
at("drop").addEventListener("dragover", (event) => event.preventDefault());
at("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) matchFile(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) { show("match"); matchFile(event.clipboardData.files[0]); }
});
at("show-match").addEventListener("click", () => show("match"));
at("show-references").addEventListener("click", () => show("references"));
at("find").addEventListener("submit", (event) => { event.preventDefault(); list(at("id").value || null, true); });
at("more").addEventListener("click", () => list(next, false));
