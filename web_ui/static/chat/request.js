// @ts-check
/**
 * Turns the messages of a chat into what the API takes.
 * @module
 */

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("../api/answers.js").RequestMessage} RequestMessage
 * @typedef {import("../api/answers.js").ContentPart} ContentPart
 */

/**
 * Answers without text (failed or stopped early) are left out, and the user messages that then follow each other become
 * one: many chat templates insist on alternating roles.
 * @param {readonly Message[]} messages
 * @returns {RequestMessage[]}
 */
export function requestMessages(messages) {
  /** @type {RequestMessage[]} */
  const result = [];
  for (const message of messages) {
    const { role, content, tool_calls } = message;
    if (role === "assistant" && content === "" && tool_calls.length === 0) continue;
    const last = result[result.length - 1];
    const made = requestMessage(message);
    if (last?.role === role && role !== "tool") last.content = joined(last.content, made.content);
    else result.push(made);
  }
  return result;
}

/**
 * @param {Message} message
 * @returns {RequestMessage}
 */
function requestMessage(message) {
  if (message.role === "tool")
    return { role: "tool", content: message.content, tool_call_id: message.tool_call_id ?? "" };
  const made = { role: message.role, content: withAttachments(message) };
  return message.tool_calls.length > 0 ? { ...made, tool_calls: message.tool_calls } : made;
}

/**
 * @param {Message} message
 * @returns {string | ContentPart[]} the texts of files before the words about them, in fences longer than any inside
 */
function withAttachments({ content, attachments }) {
  const files = attachments
    .filter((file) => typeof file.text === "string")
    .map((file) => fileText(file.name, String(file.text)));
  const text = [...files, content].filter((part) => part !== "").join("\n\n");
  const images = attachments.flatMap(({ image_url }) => (image_url ? [image_url] : []));
  if (images.length === 0) return text;
  /** @type {ContentPart[]} */
  const parts = images.map((url) => ({ type: "image_url", image_url: { url } }));
  return text ? [...parts, { type: "text", text }] : parts;
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {string}
 */
function fileText(name, text) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `File ${JSON.stringify(name)}:\n${fence}\n${text}\n${fence}`;
}

/**
 * @param {RequestMessage["content"]} one
 * @param {RequestMessage["content"]} other
 * @returns {string | ContentPart[]}
 */
function joined(one, other) {
  if (typeof one === "string" && typeof other === "string") return `${one}\n\n${other}`;
  return [...asParts(one), ...asParts(other)];
}

/**
 * @param {RequestMessage["content"]} content
 * @returns {ContentPart[]}
 */
function asParts(content) {
  if (typeof content === "string") return content ? [{ type: "text", text: content }] : [];
  return content ?? [];
}
