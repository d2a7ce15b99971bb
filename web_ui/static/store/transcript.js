// @ts-check
/**
 * A chat as a Markdown document.
 * @module
 */

/**
 * @param {any} chat as the store gives it
 * @returns {string} the branch that is shown
 */
export function toMarkdown(chat) {
  const byId = new Map(chat.messages.map((/** @type {any} */ message) => [message.id, message]));
  const path = [];
  for (let at = byId.get(chat.current_message_id); at; at = byId.get(at.parent_id)) path.unshift(at);
  const parts = path.map(({ role, content }) => `## ${role === "user" ? "User" : "Assistant"}\n\n${content}\n`);
  return [`# ${chat.title}\n`, ...parts].join("\n");
}
