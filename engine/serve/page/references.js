// Look through the references, find some by id or by image, and delete.
import { at, call, element, matchImage, percent, say, telling, thumbnailOf } from "./common.js";

const PAGE = 60;
let next = null;
let latest = 0; // what was asked for last is shown, whichever answer comes last

export const load = telling(() => page(null));

async function page(after) {
  const mine = ++latest;
  const query = new URLSearchParams({ limit: PAGE });
  if (after !== null) query.set("after", after);
  if (at("prefix").value) query.set("prefix", at("prefix").value);
  const found = await call("GET", `v1/references?${query}`);
  if (mine !== latest) return;
  if (after === null) at("list").replaceChildren();
  at("list").append(...found.items.map((reference) => entry(reference)));
  next = found.next;
  at("more").hidden = next === null;
  const none = at("prefix").value ? "no reference's id begins so" : "there are no references yet";
  say(`${found.count} references in all${at("list").childElementCount ? "" : `; ${none}`}.`);
}

const byImage = telling(async (file) => {
  const mine = ++latest;
  say("Looking ...");
  const item = await matchImage(file, 12);
  const found = await Promise.all(item.matches.map(async (match) => {
    const reference = await call("GET", `v1/references/${encodeURIComponent(match.id)}`);
    return entry(reference, `${match.verdict}, ${percent(match.probability)}`);
  }));
  if (mine !== latest) return;
  at("list").replaceChildren(...found);
  at("more").hidden = true;
  say(`The ${found.length} references most alike to ${file.name || "the image"}.`);
});

function entry(reference, note) {
  const made = element("li");
  const picture = element("img");
  picture.alt = "";
  picture.loading = "lazy";
  picture.src = thumbnailOf(reference.id);
  picture.addEventListener("error", () => picture.replaceWith(element("div", "no picture", "empty")));
  made.append(picture, element("div", reference.id, "id"));
  if (note) made.append(element("div", note, "quiet"));
  if (Object.keys(reference.metadata).length) made.append(metadata(reference.metadata));
  if (at("references").dataset.mayDelete) made.append(deletion(reference.id, made));
  return made;
}

function metadata(values) {
  const made = element("dl", undefined, "metadata");
  for (const [key, value] of Object.entries(values)) {
    made.append(element("dt", key), element("dd", typeof value === "string" ? value : JSON.stringify(value)));
  }
  return made;
}

function deletion(id, made) {
  const button = element("button", "Delete", "small");
  button.addEventListener("click", telling(async () => {
    if (!confirm(`Delete ${id}? This cannot be undone.`)) return;
    await call("DELETE", `v1/references/${encodeURIComponent(id)}`);
    made.remove();
    say(`Deleted: ${id}`);
  }));
  return button;
}

export function begin() {
  at("find").addEventListener("submit", (event) => {
    event.preventDefault();
    load();
  });
  at("by-image").addEventListener("change", () => {
    if (at("by-image").files[0]) byImage(at("by-image").files[0]);
    at("by-image").value = "";
  });
  at("more").addEventListener("click", telling(() => page(next)));
}
