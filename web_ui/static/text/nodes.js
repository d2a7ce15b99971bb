// @ts-check
/**
 * Turns the parser's tokens into descriptions of nodes. Only the elements named here can come of a model's text.
 * @module
 */

/**
 * @typedef {{tag: string, className: string, attributes: Record<string, string>, children: VNode[], node?: Node}} VElement
 * @typedef {{code: string, language: string, closed: boolean, view?: any, node?: Node}} VCode
 * @typedef {{tex: string, display: boolean, source: string, node?: Node}} VMath
 * @typedef {string | VElement | VCode | VMath} VNode
 * @typedef {{firstLine: number, node: VNode}} Block a block at the top and the line that it begins on
 */

/** Token to element, and the class it gets. Headings begin below those of the page itself. @type {Record<string, string>} */
const ELEMENTS = {
  paragraph: "p.prose",
  bullet_list: "ul",
  ordered_list: "ol",
  list_item: "li",
  blockquote: "blockquote",
  table: "table",
  thead: "thead",
  tbody: "tbody",
  tr: "tr",
  th: "th",
  td: "td",
  em: "em",
  strong: "strong",
  s: "s",
  link: "a",
};
const HEADINGS = { h1: "h3", h2: "h4", h3: "h5", h4: "h6", h5: "h6", h6: "h6" };
const LONGEST_LANGUAGE = 40;

/**
 * @param {any[]} tokens of a whole document
 * @param {string} source
 * @returns {Block[]}
 */
export function blockNodes(tokens, source) {
  const lines = source.split("\n");
  /** @type {Block[]} */
  const blocks = [];
  /** @type {VElement} */
  const root = { tag: "div", className: "", attributes: {}, children: [] };
  let firstLine = 0;
  const builder = new Builder(root, lines);
  for (const token of tokens) {
    if (builder.depth === 0 && token.map) firstLine = token.map[0];
    builder.take(token);
    if (builder.depth > 0) continue;
    for (const node of root.children.splice(0)) blocks.push({ firstLine, node });
  }
  return blocks;
}

/**
 * @param {string} text in which nothing is looked for
 * @returns {VElement}
 */
export function paragraph(text) {
  return { tag: "p", className: "prose", attributes: { dir: "auto" }, children: [text] };
}

class Builder {
  /** @type {VElement[]} */
  #open;
  #lines;

  /**
   * @param {VElement} root
   * @param {string[]} lines
   */
  constructor(root, lines) {
    this.#open = [root];
    this.#lines = lines;
  }

  get depth() {
    return this.#open.length - 1;
  }

  /** @param {any} token */
  take(token) {
    if (token.nesting === 1) this.#enter(token);
    else if (token.nesting === -1) this.#leave(token);
    else this.#leaf(token);
  }

  /** @param {any} token */
  #enter(token) {
    const name = token.type.replace(/_open$/, "");
    const [tag, className = ""] = elementOf(name, token).split(".");
    /** @type {VElement} */
    const made = {
      tag,
      className: token.hidden ? "tight" : className,
      attributes: attributesOf(name, token),
      children: [],
    };
    this.#open[this.depth].children.push(name === "table" ? framed(made) : made);
    this.#open.push(made);
  }

  /** @param {any} token */
  #leave(token) {
    const done = this.#open.pop();
    if (done && token.type === "list_item_close") markTask(done);
  }

  /** @param {any} token */
  #leaf(token) {
    const { children } = this.#open[this.depth];
    if (token.type === "inline") for (const child of token.children) this.take(child);
    else if (token.type === "fence") children.push(this.#fence(token));
    else if (token.type === "code_block")
      children.push({ code: token.content.replace(/\n$/, ""), language: "", closed: true });
    else if (token.type === "math_block")
      children.push({ tex: token.content, display: true, source: `$$${token.content}$$` });
    else children.push(inlineNode(token));
  }

  /**
   * @param {any} token
   * @returns {VCode}
   */
  #fence(token) {
    const last = this.#lines[token.map[1] - 1] ?? "";
    const closed = token.map[1] - token.map[0] > 1 && last.trim().startsWith(token.markup);
    const language = token.info.trim().split(/\s/, 1)[0].slice(0, LONGEST_LANGUAGE);
    return { code: token.content.replace(/\n$/, ""), language, closed };
  }
}

/**
 * @param {string} name
 * @param {any} token
 * @returns {string} tag and class
 */
function elementOf(name, token) {
  if (name === "heading") return `${HEADINGS[/** @type {keyof HEADINGS} */ (token.tag)] ?? "h6"}.heading-${token.tag}`;
  return ELEMENTS[name] ?? "span";
}

/**
 * @param {string} name
 * @param {any} token
 * @returns {Record<string, string>}
 */
function attributesOf(name, token) {
  if (name === "link") return linkAttributes(token.attrGet("href") ?? "");
  if (name === "ordered_list" && token.attrGet("start") !== null) return { start: String(token.attrGet("start")) };
  if (name === "th" || name === "td") {
    const align = /text-align:(left|right|center)/.exec(token.attrGet("style") ?? "")?.[1];
    return { dir: "auto", ...(align ? { "data-align": align } : {}), ...(name === "th" ? { scope: "col" } : {}) };
  }
  return ["paragraph", "heading", "list_item", "blockquote", "bullet_list", "ordered_list"].includes(name)
    ? { dir: "auto" }
    : {};
}

/**
 * @param {string} address
 * @returns {Record<string, string>} its title shows where it really leads
 */
function linkAttributes(address) {
  return {
    href: address,
    title: address,
    target: "_blank",
    rel: "noopener noreferrer nofollow",
    referrerpolicy: "no-referrer",
  };
}

/**
 * @param {VElement} table
 * @returns {VElement} scrolls by itself where it is wider than the page
 */
function framed(table) {
  return { tag: "div", className: "table-frame", attributes: { tabindex: "0", role: "group" }, children: [table] };
}

/**
 * @param {any} token
 * @returns {VNode}
 */
function inlineNode(token) {
  switch (token.type) {
    case "text":
    case "text_special":
      return token.content;
    case "softbreak":
    case "hardbreak":
      return { tag: "br", className: "", attributes: {}, children: [] };
    case "hr":
      return { tag: "hr", className: "", attributes: {}, children: [] };
    case "code_inline":
      return { tag: "code", className: "code-inline", attributes: {}, children: [token.content] };
    case "math_inline":
    case "math_display":
      return { tex: token.content, display: token.type === "math_display", source: token.markup };
    case "image":
      // Never loaded: a picture's address could carry what was said to its owner.
      return {
        tag: "a",
        className: "",
        attributes: linkAttributes(token.attrGet("src") ?? ""),
        children: [token.content || (token.attrGet("src") ?? "")],
      };
    default:
      return token.content ?? "";
  }
}

/**
 * Shows the box of a task list (GFM 5.3).
 * @param {VElement} item
 */
function markTask(item) {
  const holder = item.children.find((child) => typeof child === "object" && "tag" in child && child.tag === "p");
  if (!holder || typeof holder === "string" || !("tag" in holder)) return;
  const first = holder.children[0];
  const box = typeof first === "string" ? /^\[([ xX])\] /.exec(first) : null;
  if (!box || typeof first !== "string") return;
  item.className = "task";
  holder.children[0] = `${box[1] === " " ? "\u2610" : "\u2611"}\u00a0${first.slice(box[0].length)}`;
}
