// The numbers of the day.
import { at, call, element, telling } from "./common.js";

const NAMES = {
  match: "images that match",
  review: "images to review",
  no_match: "images without a match",
  errors: "images that could not be used",
  accepted: "pairs accepted",
  rejected: "pairs rejected",
  waiting: "pairs that wait",
  added: "references added",
  replaced: "references replaced",
  deleted: "references deleted",
  references: "references in all",
};

export const load = telling(async () => {
  const numbers = await call("GET", "v1/today");
  at("numbers").replaceChildren(...Object.entries(NAMES).map(([name, words]) => {
    const made = element("div");
    made.append(element("dd", numbers[name].toLocaleString()), element("dt", words));
    return made;
  }));
  at("since").textContent = `Counted since ${new Date(numbers.since).toLocaleString()}; days begin at midnight UTC.`;
});
