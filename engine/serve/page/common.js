// What the parts of the page share. Everything from elsewhere is set as text, never as HTML: an id or a file name can be anything.

export const at = (id) => document.getElementById(id);

export function say(text, failed = false) {
  at("message").textContent = text;
  at("message").classList.toggle("failed", failed);
}

/** Let a failure be said instead of lost. */
export const telling = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    say(error.message, true);
    return undefined;
  }
};

export async function call(method, path, body) {
  const json = body !== undefined && !(body instanceof FormData);
  const answer = await fetch(path, {
    method,
    body: json ? JSON.stringify(body) : body,
    headers: json ? { "content-type": "application/json" } : {},
  }).catch(() => { throw new Error("The service cannot be reached."); });
  if (answer.ok) return answer.json();
  if (answer.status === 401) location.reload(); // the session has ended; there is a form to log in
  const failure = await answer.json().catch(() => ({ error: { message: answer.statusText } }));
  throw Object.assign(new Error(failure.error.message), { status: answer.status });
}

export async function matchImage(file, k) {
  const form = new FormData();
  form.append("images", file, file.name || "pasted");
  const answer = await call("POST", `v1/match?k=${k}&evidence=true`, form);
  const [item] = answer.items;
  if (item.error) throw new Error(`This image cannot be used: ${item.error}`);
  return { ...item, seconds: answer.timings.total };
}

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export const thumbnailOf = (id) => `v1/thumbnails/${encodeURIComponent(id)}`;

/** The picture at an address, or null where there is none that can be shown. */
export async function bitmapAt(address) {
  const answer = await fetch(address);
  return answer.ok ? bitmapOf(await answer.blob()) : null;
}

export const bitmapOf = (blob) => createImageBitmap(blob).catch(() => null);

/** A picture with a region drawn on it; size: [width, height] of the original, whose pixels the region is in. */
export function drawn(bitmap, region, size, caption) {
  const figure = element("figure");
  if (bitmap) {
    const canvas = element("canvas");
    const scale = 640 / Math.max(bitmap.width, bitmap.height); // both pictures of a pair are to be as large, whatever is kept of them
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    if (region.length && size[0]) outline(context, region, canvas.width / size[0], canvas.height / size[1]);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", caption);
    figure.append(canvas);
  } else {
    figure.append(element("div", "no picture", "empty"));
  }
  figure.append(element("figcaption", caption));
  return figure;
}

function outline(context, region, across, down) {
  const width = Math.max(2, context.canvas.width / 90);
  context.beginPath();
  region.forEach(([x, y]) => context.lineTo(
    Math.min(Math.max((x + 0.5) * across, width), context.canvas.width - width),
    Math.min(Math.max((y + 0.5) * down, width), context.canvas.height - width),
  ));
  context.closePath();
  context.lineJoin = "round";
  for (const [colour, times] of [["#000a", 2], ["#ff9d00", 1]]) { // to be seen on dark and on light pictures
    context.lineWidth = width * times;
    context.strokeStyle = colour;
    context.stroke();
  }
}

const NOTHING = { query_region: [], reference_region: [], query_size: [0, 0], reference_size: [0, 0] };

/** Query and reference side by side, each with what it shows of the other, and beneath them what is known. */
export function pair(id, query, reference, evidence, facts) {
  const { query_region, query_size, reference_region, reference_size } = evidence || NOTHING;
  const row = element("article", undefined, "pair");
  const pictures = element("div", undefined, "pictures");
  pictures.append(drawn(query, query_region, query_size, "query"), drawn(reference, reference_region, reference_size, "reference"));
  const words = element("div", undefined, "facts");
  words.append(element("h2", id, "id"), ...facts);
  row.append(words, pictures);
  return row;
}

export function verdictTag(verdict) {
  return element("span", verdict, `verdict ${verdict.replace(" ", "-")}`);
}

export const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
