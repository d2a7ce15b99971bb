// @ts-check
/**
 * Makes a picture what a model can read: no larger than it looks at, and of a kind that the program decodes.
 * @module
 */

const LONGEST_SIDE = 1536;
const LARGEST_BYTES = 4 << 20;
const READABLE = ["image/png", "image/jpeg", "image/gif"];
const QUALITY = 0.92;

/**
 * The browser decodes pictures of more kinds than the program, and turns photographs upright.
 * @param {File} file
 * @returns {Promise<File>} the file itself when nothing is to be done, or when the browser can't read it either
 */
export async function fitPicture(file) {
  if (!file.type.startsWith("image/")) return file;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file;
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= LARGEST_BYTES && READABLE.includes(file.type)) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const type = file.type === "image/jpeg" ? "image/jpeg" : "image/png";
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
  return blob instanceof Blob ? new File([blob], file.name, { type }) : file;
}
