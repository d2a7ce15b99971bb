// @ts-check
/**
 * The sampling settings that can be changed on the page, by the names of the API, with what it accepts.
 * @module
 */

/** @typedef {{name: string, min: number, max: number, isWhole: boolean, isMain: boolean}} SamplingField */

/** @type {SamplingField[]} */
export const SAMPLING_FIELDS = [
  { name: "temperature", min: 0, max: 5, isWhole: false, isMain: true },
  { name: "max_tokens", min: 1, max: 2147483647, isWhole: true, isMain: true },
  { name: "top_p", min: 0, max: 1, isWhole: false, isMain: false },
  { name: "top_k", min: 0, max: 100000, isWhole: true, isMain: false },
  { name: "min_p", min: 0, max: 1, isWhole: false, isMain: false },
  { name: "repeat_penalty", min: 0.01, max: 5, isWhole: false, isMain: false },
  { name: "presence_penalty", min: -2, max: 2, isWhole: false, isMain: false },
  { name: "frequency_penalty", min: -2, max: 2, isWhole: false, isMain: false },
  { name: "seed", min: 0, max: 4294967295, isWhole: true, isMain: false },
];

/**
 * @param {string} name
 * @returns {string} the id of its field on the page
 */
export function fieldId(name) {
  return name.replaceAll("_", "-");
}
