// @ts-check
/**
 * Teaches the Markdown parser where formulas are: `$…$`, `$$…$$`, `\(…\)` and `\[…\]`.
 *
 * A single dollar opens a formula only if no space follows and closes it only if no space precedes and no digit follows
 * (the rule of Pandoc's `tex_math_dollars`), so that prices stay prices.
 * @module
 */

/** @param {any} parser a MarkdownIt */
export function addMath(parser) {
  parser.inline.ruler.before("escape", "math", inlineMath);
  parser.block.ruler.before("fence", "math_block", blockMath, { alt: ["paragraph", "blockquote", "list"] });
}

/**
 * @param {any} state
 * @param {boolean} silent
 * @returns {boolean}
 */
function inlineMath(state, silent) {
  const found = findInline(state.src, state.pos, state.posMax);
  if (!found) return false;
  if (!silent) {
    const token = state.push(found.display ? "math_display" : "math_inline", "", 0);
    token.content = found.tex;
    token.markup = state.src.slice(state.pos, found.end);
  }
  state.pos = found.end;
  return true;
}

/** @type {[open: string, close: string, display: boolean][]} */
const DELIMITERS = [
  ["$$", "$$", true],
  ["\\[", "\\]", true],
  ["\\(", "\\)", false],
];

/**
 * @param {string} text
 * @param {number} start
 * @param {number} limit
 * @returns {{tex: string, end: number, display: boolean} | null}
 */
function findInline(text, start, limit) {
  for (const [open, close, display] of DELIMITERS) {
    if (!text.startsWith(open, start)) continue;
    const end = text.indexOf(close, start + open.length);
    if (end < 0 || end + close.length > limit) return null;
    const tex = text.slice(start + open.length, end).trim();
    return tex ? { tex, end: end + close.length, display } : null;
  }
  return text[start] === "$" ? findDollar(text, start, limit) : null;
}

/**
 * @param {string} text
 * @param {number} start
 * @param {number} limit
 */
function findDollar(text, start, limit) {
  if (!/\S/.test(text[start + 1] ?? " ")) return null;
  for (let end = text.indexOf("$", start + 1); end > 0 && end < limit; end = text.indexOf("$", end + 1)) {
    if (text[end - 1] === "\\") continue;
    const tex = text.slice(start + 1, end);
    if (tex.includes("\n\n")) return null;
    const closes = tex !== "" && /\S$/.test(tex) && !/\d/.test(text[end + 1] ?? "");
    return closes ? { tex, end: end + 1, display: false } : null;
  }
  return null;
}

/**
 * A formula on lines of its own. One that is not closed runs to the end, as a fence does.
 * @param {any} state
 * @param {number} firstLine
 * @param {number} endLine
 * @param {boolean} silent
 * @returns {boolean}
 */
function blockMath(state, firstLine, endLine, silent) {
  const opening = lineOf(state, firstLine);
  const pair = DELIMITERS.find(([open, , display]) => display && opening.startsWith(open));
  if (!pair || state.sCount[firstLine] - state.blkIndent >= 4) return false;
  const [open, close] = pair;
  const parts = [opening.slice(open.length)];
  let line = firstLine;
  while (!parts[parts.length - 1].includes(close)) {
    line += 1;
    if (line >= endLine || (state.sCount[line] < state.blkIndent && !state.isEmpty(line))) return false;
    parts.push(lineOf(state, line));
  }
  const last = parts.pop() ?? "";
  const end = last.indexOf(close);
  // Words after the formula make it part of a paragraph, which the inline rule reads.
  if (last.slice(end + close.length).trim() !== "") return false;
  if (silent) return true;
  const token = state.push("math_block", "", 0);
  token.block = true;
  token.content = [...parts, last.slice(0, end)].join("\n").trim();
  token.map = [firstLine, line + 1];
  state.line = line + 1;
  return true;
}

/**
 * @param {any} state
 * @param {number} line
 * @returns {string}
 */
function lineOf(state, line) {
  return state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
}
