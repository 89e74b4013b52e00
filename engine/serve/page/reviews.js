// The review queue: one pair at a time, by keys or buttons.
import { at, bitmapAt, call, element, pair, percent, say, telling, thumbnailOf } from "./common.js";

const PAGE = 50;
let queue = [];
let place = 0;
let drawing = 0;
let last = null; // the latest decision, which can be taken back
let busy = false;

export async function count() {
  const page = await call("GET", "v1/reviews?limit=1");
  showCount(page.waiting);
}

function showCount(waiting) {
  at("waiting").textContent = waiting;
  at("waiting").hidden = !waiting;
}

export const load = telling(async () => {
  const mine = ++drawing;
  const page = await call("GET", `v1/reviews?limit=${PAGE}&order=${at("order").value}`);
  if (mine !== drawing) return;
  queue = page.items;
  place = 0;
  showCount(page.waiting);
  await show();
});

async function show() {
  const mine = ++drawing;
  const review = queue[place];
  at("actions").hidden = !review && !last;
  for (const name of ["back", "reject", "accept", "forth"]) at(name).disabled = !review;
  at("undo").disabled = !last;
  if (!review) {
    at("place").textContent = "";
    at("review").replaceChildren(element("p", "Nothing waits for a decision.", "nothing"));
    return;
  }
  at("back").disabled = place === 0;
  at("forth").disabled = place === queue.length - 1;
  const [query, reference] = await Promise.all([bitmapAt(`v1/reviews/${review.id}/thumbnail`), bitmapAt(thumbnailOf(review.reference))]);
  if (mine !== drawing) return;
  at("place").textContent = `${place + 1} of ${queue.length}${Number(at("waiting").textContent) > queue.length ? "+" : ""}`;
  at("review").replaceChildren(pair(review.reference, query, reference, review.evidence, facts(review)));
}

function facts(review) {
  const when = new Date(review.created).toLocaleString();
  const words = [element("p", `Is ${review.name ? `“${review.name}”` : "the query"} a copy of it?`), element("p", `probability ${percent(review.probability)}, score ${review.score.toFixed(3)}`)];
  if (review.evidence) words.push(element("p", `${review.evidence.inliers} points agree`, "quiet"));
  words.push(element("p", `asked ${when}`, "quiet"));
  return words;
}

/** One thing at a time, until what it leads to is shown: a key that is pressed too early decides on nothing unseen. */
const alone = (action) => telling(async (...given) => {
  if (busy) return;
  busy = true;
  try {
    await action(...given);
  } finally {
    busy = false;
  }
});

const decide = alone(async (decision) => {
  const review = queue[place];
  if (!review) return;
  let words = `${decision === "accept" ? "Accepted" : "Rejected"}: ${review.reference}`;
  try {
    await call("POST", `v1/reviews/${review.id}`, { decision, before: null });
    last = { review, place, decision };
  } catch (error) {
    if (error.status !== 404 && error.status !== 409) throw error;
    words = `${review.reference}: ${error.message}`; // somebody else was faster
  }
  queue.splice(place, 1);
  showCount(Math.max(0, Number(at("waiting").textContent) - 1));
  if (queue.length) {
    place = Math.min(place, queue.length - 1);
    await show();
  } else await load();
  say(words);
});

const undo = alone(async () => {
  if (!last) return;
  const { review, decision } = last;
  await call("POST", `v1/reviews/${review.id}`, { decision: null, before: decision });
  if (!queue.some((other) => other.id === review.id)) queue.splice(last.place, 0, review);
  place = queue.findIndex((other) => other.id === review.id);
  last = null;
  showCount(Number(at("waiting").textContent) + 1);
  await show();
  say(`Taken back: ${review.reference}`);
});

const move = alone(async (step) => {
  const wanted = place + step;
  if (wanted < 0 || wanted >= queue.length) return;
  place = wanted;
  await show();
});

export function begin() {
  const keys = { a: () => decide("accept"), r: () => decide("reject"), u: undo, ArrowLeft: () => move(-1), ArrowRight: () => move(1) };
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (at("reviews").hidden || typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  at("accept").addEventListener("click", keys.a);
  at("reject").addEventListener("click", keys.r);
  at("undo").addEventListener("click", keys.u);
  at("back").addEventListener("click", keys.ArrowLeft);
  at("forth").addEventListener("click", keys.ArrowRight);
  at("order").addEventListener("change", () => {
    at("order").blur(); // the next keys are decisions again
    load();
  });
}
