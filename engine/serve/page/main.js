// Which part of the page is shown, by the address behind the #.
import { at, say, telling } from "./common.js";
import * as match from "./match.js";
import * as references from "./references.js";
import * as reviews from "./reviews.js";
import * as today from "./today.js";

const PARTS = ["match", "reviews", "references", "today"].filter(at);
const LOADS = { reviews: reviews.load, references: references.load, today: today.load };

function show(name) {
  if (location.hash.slice(1) !== name) location.hash = name;
  else turnTo(name);
}

function turnTo(name) {
  const chosen = PARTS.includes(name) ? name : "match";
  for (const part of PARTS) at(part).hidden = part !== chosen;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  say("");
  LOADS[chosen]?.();
}

match.begin(show);
references.begin();
if (at("reviews")) {
  reviews.begin();
  telling(reviews.count)();
}
addEventListener("hashchange", () => turnTo(location.hash.slice(1)));
turnTo(location.hash.slice(1));
