// @ts-check
/*
 * Puts theme and text size in place before anything is drawn; therefore a plain script and no module. What it reads was
 * put there by preferences.js, which brings it up to date when the program has answered.
 */
try {
  const look = JSON.parse(localStorage.getItem("look") ?? "{}");
  if (look.theme) document.documentElement.dataset.theme = look.theme;
  if (look.size) document.documentElement.dataset.size = look.size;
} catch {
  // Without storage the page begins in the system's colours.
}
