/* From a file to pixels, as `skinvision_hf.data.images.open_image` makes them: upright RGB over white. */
import { Fault, NO_MEMORY, settings } from './answer.js';

const SHOWN_SIDE = 900;
const STRIP = 256;

/* Returns the pixels (height, width, 3), and a smaller copy to show, as a data: URL. */
export async function openImage(file) {
  const { width, height } = await measure(file);
  const { maxPixels, minSide } = settings;
  if (width * height > maxPixels)
    throw new Fault(`Your image has more than ${maxPixels / 1e6} megapixels; crop it to the lesion or scale it down.`);
  if (Math.min(width, height) < minSide)
    throw new Fault(
      `Your image is only ${width} x ${height} pixels; give an image with sides of at least ${minSide} pixels.`);
  try {
    // Pixels as they are in the file: no colour profile is applied, and transparency stays apart from colour.
    const options = { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
    const bitmap = await createImageBitmap(file, options);
    const image = { width: bitmap.width, height: bitmap.height, pixels: readPixels(bitmap), shown: shrink(bitmap) };
    bitmap.close();
    return image;
  } catch (error) {
    throw new Fault(error.name === 'InvalidStateError' || error.name === 'EncodingError'
      ? 'Your image is damaged or incomplete; download or export it again.'
      : NO_MEMORY);
  }
}

/* Width and height, which browsers know before they decode an image. */
async function measure(file) {
  const image = new Image(), src = URL.createObjectURL(file);
  const drawing = file.type.includes('svg'); // it has no pixels
  await new Promise((yes, no) => Object.assign(image, { onload: drawing ? no : yes, onerror: no, src })).catch(() => {
    throw new Fault('Your browser cannot open this file as an image; save it as JPEG or PNG.');
  }).finally(() => URL.revokeObjectURL(src));
  return { width: image.naturalWidth, height: image.naturalHeight };
}

/* Strip by strip: a phone has no canvas of 50 megapixels. */
function readPixels(bitmap) {
  const { width, height } = bitmap;
  const context = whiteCanvas(width, Math.min(STRIP, height)).getContext('2d', { willReadFrequently: true });
  const pixels = new Uint8Array(width * height * 3);
  for (let top = 0, to = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, rows);
    if (!data[3]) throw new Error(); // the canvas is wider than this browser can draw
    for (let from = 0; from < data.length; from++) if (from % 4 < 3) pixels[to++] = data[from];
  }
  return pixels;
}

/* Width and height, made smaller so that no side is longer than this. */
export function fit({ width, height }, side) {
  return [width, height].map(length => Math.max(1, Math.round(length * Math.min(1, side / Math.max(width, height)))));
}

function shrink(bitmap) {
  const canvas = whiteCanvas(...fit(bitmap, SHOWN_SIDE)), context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.88);
}

function whiteCanvas(width, height) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  return canvas;
}
