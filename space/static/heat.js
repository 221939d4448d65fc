/* Heat maps: `skinvision_hf.explain` in the browser. */
import { settings } from './answer.js';
import { fit } from './image.js';

const LAYER_SIDE = 300;
const FLAT = 1e-6; // contrast of a map, as a share of its largest value, below which it is rounding

/* The heat map of the diagnosis with this index, from class activation maps (7, rows, columns).

   `centres` says where each row and each column of cells looks, as a share of the image; null when evenly spread.
   Returns the layer as a data: URL, and whether anything supports the diagnosis. */
export function heatMap(image, { values, rows, columns }, centres, index) {
  const cells = stretch(values.subarray(index * rows * columns, (index + 1) * rows * columns));
  const hottest = cells.indexOf(Math.max(...cells));
  const [row, column] = [Math.floor(hottest / columns), hottest % columns];
  const any = cells.some(value => value > 0);
  const [width, height] = fit(image, LAYER_SIDE);
  const down = weights(centres?.[0] ?? spread(rows), height), across = weights(centres?.[1] ?? spread(columns), width);
  return {
    layer: colour(place(cells, columns, down, across), width, height), any, rows, columns,
    atBorder: any && (row === 0 || row === rows - 1 || column === 0 || column === columns - 1),
  };
}

/* The positive part of a map, stretched to [0, 1]; all zeros if it says nothing about where to look. */
function stretch(map) {
  const heat = Array.from(map, value => Math.max(value, 0));
  const low = Math.min(...heat), high = Math.max(...heat);
  return heat.map(value => high - low <= FLAT * high ? 0 : (value - low) / (high - low));
}

const spread = cells => Array.from({ length: cells }, (_, cell) => (cell + 0.5) / cells);

/* How much each cell of an axis counts in each pixel, by cubic convolution with a = -0.5. */
function weights(centres, pixels) {
  const last = centres.length - 1;
  return Array.from({ length: pixels }, (_, pixel) => {
    const position = (pixel + 0.5) / pixels, row = new Float64Array(centres.length);
    let left = 0;
    while (left < last - 1 && centres[left + 1] <= position) left++;
    const between = last ? (position - centres[left]) / (centres[left + 1] - centres[left]) : 0;
    const step = Math.min(Math.max(left + between, 0), last), first = Math.floor(step);
    for (let cell = first - 1; cell <= first + 2; cell++)
      row[Math.min(Math.max(cell, 0), last)] += cubic(Math.abs(step - cell));
    return row;
  });
}

function cubic(distance) {
  if (distance < 1) return (1.5 * distance - 2.5) * distance ** 2 + 1;
  return distance < 2 ? ((-0.5 * distance + 2.5) * distance - 4) * distance + 2 : 0;
}

function place(cells, columns, down, across) {
  const heat = down.flatMap(rowWeights => {
    const row = across[0].map((_, column) => rowWeights.reduce((sum, w, r) => sum + w * cells[r * columns + column], 0));
    return across.map(w => Math.max(0, w.reduce((sum, weight, column) => sum + weight * row[column], 0)));
  });
  const largest = heat.reduce((a, b) => Math.max(a, b), 0) || 1;
  return heat.map(value => value / largest);
}

/* Viridis, the colder the more transparent. */
function colour(heat, width, height) {
  const anchors = settings.viridis.map(hex => [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16)));
  const layer = new ImageData(width, height);
  heat.forEach((value, pixel) => {
    const level = Math.floor(value * 255), low = Math.min(Math.floor(level / 15), anchors.length - 2);
    const mix = level / 15 - low;
    layer.data.set(anchors[low].map((c, k) => Math.round(c + mix * (anchors[low + 1][k] - c))), 4 * pixel);
    layer.data[4 * pixel + 3] = level;
  });
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  canvas.getContext('2d').putImageData(layer, 0, 0);
  return canvas.toDataURL();
}
