// Match an image: chosen, dropped or pasted.
import { at, bitmapAt, bitmapOf, element, matchImage, pair, percent, say, telling, thumbnailOf, verdictTag } from "./common.js";

let latest = 0; // of two images in quick succession the answer to the last is shown

export const matchFile = telling(async (file) => {
  const mine = ++latest;
  at("results").replaceChildren();
  say("Matching ...");
  const item = await matchImage(file, 5);
  const query = await bitmapOf(file);
  const rows = await Promise.all(item.matches.map((match) => shown(match, query)));
  if (mine !== latest) return;
  const likely = item.matches.filter((match) => match.verdict !== "no match").length; // the likeliest come first
  at("results").replaceChildren(...rows.slice(0, likely), ...unlikely(rows.slice(likely), likely === 0));
  say(summary(item));
});

async function shown(match, query) {
  const reference = await bitmapAt(thumbnailOf(match.id));
  const facts = [verdictTag(match.verdict), element("p", `probability ${percent(match.probability)}, score ${match.score.toFixed(3)}`)];
  if (match.evidence) facts.push(element("p", `${match.evidence.inliers} points agree`, "quiet"));
  return pair(match.id, query, reference, match.evidence, facts);
}

function unlikely(rows, open) {
  if (!rows.length) return [];
  const made = element("details");
  made.open = open;
  made.append(element("summary", `${rows.length} that look most alike, and are no match`), ...rows);
  return [made];
}

function summary(item) {
  const found = item.matches.filter((match) => match.verdict !== "no match").length;
  const words = [
    item.matches.length === 0 ? "There are no references yet" : found ? `It may be a copy of ${found === 1 ? "one reference" : `${found} references`}` : "No match",
    `${item.seconds.toFixed(2)} s`,
  ];
  if (item.damaged) words.push(`the image is damaged: ${item.damaged}`);
  return `${words.join("; ")}.`;
}

export function begin(show) {
  at("file").addEventListener("change", () => {
    if (at("file").files[0]) matchFile(at("file").files[0]);
    at("file").value = ""; // so that the same file can be chosen again
  });
  at("drop").addEventListener("dragover", (event) => event.preventDefault());
  at("drop").addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) matchFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files[0]) return;
    show("match");
    matchFile(event.clipboardData.files[0]);
  });
}
