// @ts-check
/**
 * Line icons, drawn on a grid of 20.
 * @module
 */

const NAMESPACE = "http://www.w3.org/2000/svg";

const PATHS = {
  copy: "M7 7V4.500A1.500 1.500 0 0 1 8.500 3h7A1.500 1.500 0 0 1 17 4.500v7a1.500 1.500 0 0 1-1.500 1.500H13M4.500 7h7A1.500 1.500 0 0 1 13 8.500v7a1.500 1.500 0 0 1-1.500 1.500h-7A1.500 1.500 0 0 1 3 15.500v-7A1.500 1.500 0 0 1 4.500 7z",
  done: "m4 10.500 4 4 8-9",
  edit: "m4 16 .8-3.400 8.700-8.700a1.600 1.600 0 0 1 2.300 0l.3.3a1.600 1.600 0 0 1 0 2.300L7.400 15.200z",
  again: "M4 10a6 6 0 0 1 10.500-4L16 7.500M16 4v3.500h-3.500M16 10a6 6 0 0 1-10.500 4L4 12.500M4 16v-3.500h3.500",
  proceed: "M5 5v10l6-5zM13 5v10",
  left: "m12 5-5 5 5 5",
  right: "m8 5 5 5-5 5",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  pin: "M10 12.500V17M6.500 3h7M7.500 3v5L5 11v1.500h10V11l-2.500-3V3",
  file: "M6 3h5.500L15 6.500V16a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM11 3v4h4",
  close: "m5.500 5.500 9 9m0-9-9 9",
  thought: "M10 3a5 5 0 0 0-3 9v2h6v-2a5 5 0 0 0-3-9zM8 17h4",
  tool: "m11.500 8.500-6.800 6.800a1.400 1.400 0 0 0 2 2l6.800-6.800M11.500 8.500a3.500 3.500 0 0 1 4.700-4.600l-2.200 2.200 2 2 2.200-2.200a3.500 3.500 0 0 1-4.700 4.600z",
};

/**
 * @param {keyof PATHS} name
 * @returns {SVGSVGElement} hidden from screen readers: the control that it stands in has a name
 */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(NAMESPACE, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
