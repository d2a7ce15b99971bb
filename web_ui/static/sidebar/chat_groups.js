// @ts-check
/**
 * Sorts the list of chats under headings: pinned ones, folders, then by age. Knows nothing about the page.
 * @module
 */

/**
 * @typedef {import("../store/remote_store.js").ChatSummary} ChatSummary
 * @typedef {{key: string, title: string, isFolder: boolean, chats: ChatSummary[]}} Group
 */

const DAY_MS = 86_400_000;

/**
 * @param {ChatSummary[]} chats newest first
 * @param {Date} now
 * @param {(key: string) => string} translate
 * @returns {Group[]} none of them empty
 */
export function groupChats(chats, now, translate) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  const pinned = chats.filter((chat) => chat.pinned);
  const filed = chats.filter((chat) => !chat.pinned && chat.folder);
  const rest = chats.filter((chat) => !chat.pinned && !chat.folder);
  const add = (
    /** @type {string} */ key,
    /** @type {string} */ title,
    /** @type {boolean} */ isFolder,
    /** @type {ChatSummary} */ chat,
  ) => {
    const group = groups.get(key) ?? { key, title, isFolder, chats: [] };
    group.chats.push(chat);
    groups.set(key, group);
  };
  for (const chat of pinned) add("pinned", translate("chats.pinned"), false, chat);
  filed.sort((one, other) => String(one.folder).localeCompare(String(other.folder)));
  for (const chat of filed) add(`folder:${chat.folder}`, String(chat.folder), true, chat);
  for (const chat of rest) {
    const age = ageOf(new Date(chat.updated_at), now);
    add(age, translate(`chats.${age}`), false, chat);
  }
  return [...groups.values()];
}

/**
 * @param {Date} time
 * @param {Date} now
 * @returns {"today" | "yesterday" | "week" | "month" | "older"} in days of the calendar
 */
export function ageOf(time, now) {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const days = (midnight - time.getTime()) / DAY_MS;
  if (!(days > 0)) return "today";
  if (days <= 1) return "yesterday";
  if (days <= 7) return "week";
  return days <= 30 ? "month" : "older";
}
