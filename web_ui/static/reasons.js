// @ts-check
/**
 * The reasons that the program gives for what it chose, which it gives in English, in the reader's language.
 * @module
 */

import { number, t, tn } from "./i18n.js";

/** What the program says, and the key of the same here; `count` is a number that the words depend on. */
const SENTENCES = [
  { said: /^this file brings no GPU support$/, key: "reason.no_gpu" },
  { said: /^the GPU is switched off, by --gpu or the settings$/, key: "reason.gpu_off" },
  { said: /^a model this small gains nothing from more$/, key: "reason.small_model" },
  { said: /^(?<count>\d+) physical cores? usable$/, key: "reason.cores_usable" },
  { said: /^(?<count>\d+) physical cores?$/, key: "reason.cores" },
  { said: /^(?<count>\d+) hardware threads share them$/, key: "reason.hardware_threads" },
  { said: /^(?<count>\d+) CPUs? usable$/, key: "reason.cpus_usable" },
  { said: /^the container's limit of (?<value>[\d.]+) CPUs$/, key: "reason.quota" },
  { said: /^all that the model was made for$/, key: "reason.whole_context" },
  { said: /^the model's limit$/, key: "reason.models_limit" },
  { said: /^(?<value>[\d,]+) were asked for$/, key: "reason.asked_for" },
  { said: /^the model allows (?<value>[\d,]+)$/, key: "reason.model_allows" },
  { said: /^default$/, key: "reason.default" },
  { said: /^as set$/, key: "reason.as_set" },
  { said: /^as asked for$/, key: "reason.as_asked" },
  { said: /^the model in this file can't see pictures$/, key: "reason.no_pictures" },
  { said: /^switched off with --no-history, or in the settings of this file$/, key: "reason.history_off" },
  { said: /^whoever packed this file switched that off$/, key: "reason.history_locked" },
];

/**
 * @param {string} reason one or several, with semicolons between them
 * @returns {string} the same in the reader's language; what is not known here stays as it is
 */
export function reasonText(reason) {
  return reason.split("; ").map(oneReason).join("; ");
}

/** @param {string} said */
function oneReason(said) {
  for (const sentence of SENTENCES) {
    const found = sentence.said.exec(said);
    if (!found) continue;
    const { count, value } = found.groups ?? {};
    if (count) return tn(sentence.key, Number(count));
    return t(sentence.key, value ? { value: number(Number(value.replaceAll(",", "")), 2) } : {});
  }
  return said;
}
