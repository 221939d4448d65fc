/* The published release in the browser: its files, its network on ONNX Runtime, and what follows from their outputs. */
import { codes, Fault, NO_MEMORY, settings } from './answer.js';

const CACHE = 'skinvision-model';
const again = 'reload the page to download it again';
const unusable = text => Object.assign(new Fault(text), { unusable: true });
const damaged = name => unusable(`The ${name} of ${settings.model} is damaged; ${again}.`);
let loading;

/* Loads the release, once; after a failure the next call tries again. `report` gets the share that is downloaded. */
export function loadModel(report) {
  return loading ??= load(report).catch(async error => {
    loading = undefined;
    if (error.unusable) await globalThis.caches?.delete(CACHE).catch(() => false);
    throw error;
  });
}

async function load(report) {
  if (typeof WebAssembly !== 'object')
    throw new Fault('This browser has no WebAssembly, on which the model runs; open the page in a current browser.');
  const config = await readJson('config.json');
  if (JSON.stringify(config?.label_names) !== JSON.stringify(codes))
    throw unusable(`${settings.model} is not a SkinVision release; publish the Space again, with one.`);
  const parts = config.release_files ?? [];
  const [metrics, conformal, ood, graph] = await Promise.all([
    readJson('metrics.json'),
    parts.includes('conformal.json') ? readJson('conformal.json') : null,
    parts.includes('ood.safetensors') ? download('ood.safetensors') : null,
    download('onnx/model.onnx', report),
  ]);
  if (!graph || parts.includes('conformal.json') && !conformal || parts.includes('ood.safetensors') && !ood)
    throw unusable(`${settings.model} is incomplete; publish the whole release again.`);
  const model = {
    centres: config.cell_centres ?? null,
    overall: metrics?.overall,
    point: check('metrics.json', () => findPoint(metrics)),
    conformal: conformal && check('conformal.json', () => readConformal(conformal)),
    detector: ood && check('ood.safetensors', () => readDetector(ood)),
    ...await startNetwork(graph),
  };
  // A first run makes the next ones faster, and tells files of other networks.
  const { features, logits, maps } = await model.run({ width: 32, height: 32, pixels: new Uint8Array(32 * 32 * 3) });
  if (logits?.length !== codes.length || !maps.values) throw damaged('onnx/model.onnx');
  if (model.detector && features?.length !== model.detector.length)
    throw unusable(`The ood.safetensors of ${settings.model} was fitted for another network; publish the release again.`);
  await forgetOtherRevisions();
  return model;
}

/* The answer to an image, as `skinvision_hf.Prediction` has it, and class activation maps. */
export async function predict(model, image) {
  const { logits, features, maps } = await model.run(image);
  const exponents = Array.from(logits, value => Math.exp(value - Math.max(...logits)));
  const total = exponents.reduce((a, b) => a + b);
  const ranked = codes.map((code, k) => [code, exponents[k] / total]).sort((a, b) => b[1] - a[1]);
  if (!Number.isFinite(total)) throw new Fault(`The network of ${settings.model} gives no finite answer; ${again}.`);
  const { point, conformal, detector } = model;
  const malignant = settings.diagnoses.filter(entry => entry.malignant).map(entry => entry.code);
  const probability = ranked.reduce((sum, [code, share]) => sum + (malignant.includes(code) ? share : 0), 0);
  const score = detector ? detector.score(features) : null;
  return {
    ranked, maps, point, score, malignant: probability, label: ranked[0][0], refused: detector?.refused,
    suspicious: point && probability >= point.threshold,
    inDistribution: detector ? score >= detector.refused : null,
    unusual: Boolean(detector) && score >= detector.refused && score < detector.unusual,
    set: conformal && conformal(ranked),
  };
}

async function startNetwork(bytes) {
  const ort = await import('./ort.js').catch(() => { throw new Fault(`This page is incomplete; ${again}.`); });
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(bytes).catch(error => {
    throw /backend/.test(error.message)
      ? new Fault('This browser cannot run the model; open the page in a current browser, or close other tabs.')
      : damaged('onnx/model.onnx');
  });
  const run = async ({ width, height, pixels }) => {
    const input = { image: new ort.Tensor('uint8', pixels, [height, width, 3]) };
    const { logits, features, activation_maps: maps } = await session.run(input).catch(() => {
      loading = undefined; // after a lack of memory, only a new network works
      throw new Fault(NO_MEMORY);
    });
    const [, , rows, columns] = maps?.dims ?? [];
    return { logits: logits?.data, features: features?.data, maps: { values: maps?.data, rows, columns } };
  };
  return { run };
}

/* Example images that were published with the model: path and, with which its name ends, ground truth. */
export async function listExamples() {
  const folder = settings.files.replace(`/${settings.model}/resolve/`, `/api/models/${settings.model}/tree/`);
  const files = await fetch(`${folder}examples`).then(response => response.ok ? response.json() : [], () => []);
  return files.map(({ path }) => [path, /-(\w+)\.\w+$/.exec(path)?.[1]]).filter(([, code]) => codes.includes(code));
}

/* A file of the release, from where earlier visits left it or from the Hub; null if there is none. */
export async function download(name, report) {
  const url = settings.files + name;
  const cache = await openCache();
  try {
    const kept = await cache?.match(url);
    if (kept) return await kept.arrayBuffer();
    const response = await fetch(url);
    if (response.status === 404) return null;
    if (!response.ok) throw new Fault(`The Hub answers with status ${response.status}; try again later.`);
    const bytes = await new Response(count(response, report)).arrayBuffer();
    await cache?.put(url, new Response(bytes)).catch(() => null); // a full disk costs the next visit time, no more
    return bytes;
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault(`The download of ${name} failed; check the network, then try again.`);
  }
}

async function forgetOtherRevisions() {
  const cache = await openCache();
  for (const request of await cache?.keys() ?? []) if (!request.url.startsWith(settings.files)) await cache.delete(request);
}

function count(response, report = () => {}) {
  const total = Number(response.headers.get('content-length'));
  let arrived = 0;
  return response.body.pipeThrough(new TransformStream({
    transform(chunk, out) { report(arrived += chunk.length, total); out.enqueue(chunk); },
  }));
}

/* Where files stay between visits; null where the browser keeps none. */
const openCache = async () => await globalThis.caches?.open(CACHE).catch(() => null);

async function readJson(name) {
  const bytes = await download(name);
  return bytes && check(name, () => JSON.parse(new TextDecoder().decode(bytes)));
}

function check(name, read) {
  try { return read(); } catch { throw damaged(name); }
}

/* The threshold with the lowest sensitivity that is high enough; null if the release has none. */
function findPoint(metrics) {
  const points = metrics?.operating_points?.malignant.points ?? [];
  const enough = points.filter(point => point.fixed === 'sensitivity' && point.level >= settings.minSensitivity);
  if (enough.some(point => !(point.threshold >= 0 && point.threshold <= 1))) throw new Error();
  return enough.sort((a, b) => a.level - b.level)[0] ?? null;
}

/* Conformal prediction sets with RAPS scores: see `skinvision_hf.models.prediction.ConformalPredictor`. */
function readConformal({ scores, images_of_lesion: images, penalty, free_ranks: free }) {
  if (!(scores.length && scores.length === images.length && penalty >= 0 && free >= 0)) throw new Error();
  let lesions = 0;
  const sums = images.map(number => lesions += 1 / number);
  const threshold = scores[sums.findIndex(sum => sum >= settings.coverage * (lesions + 1) - 1e-9)] ?? Infinity;
  return ranked => {
    let sum = 0;
    const inside = ranked.filter(([, probability], rank) =>
      (sum += probability) + penalty * Math.max(0, rank + 1 - free) <= threshold || rank === 0);
    return inside.map(([code]) => code);
  };
}

/* OOD detection by Mahalanobis distance: see `skinvision_hf.ood.detector`. */
function readDetector(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__: levels, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const tensor = name => {
    const { dtype, data_offsets: [from, to] } = entries[name];
    return new { F32: Float32Array, F64: Float64Array }[dtype](buffer.slice(8 + size + from, 8 + size + to));
  };
  const [means, components, variances, reference] = ['means', 'components', 'variances', 'validation_scores'].map(tensor);
  const [classes, length] = entries.means.shape, directions = variances.length - 1;
  if (means.length !== classes * length || components.length !== length * directions) throw new Error();
  const range = Array.from({ length: directions }, (_, j) => j);
  const total = (values, term) => values.reduce((sum, value, i) => sum + term(value, i), 0);
  const distance = centred => {
    const projected = range.map(j => total(centred, (value, i) => value * components[i * directions + j]));
    const back = centred.map((_, i) => total(projected, (value, j) => value * components[i * directions + j]));
    const rest = total(centred, (value, i) => (value - back[i]) ** 2);
    return total(projected, (value, j) => value ** 2 / variances[j]) + rest / variances[directions];
  };
  const score = features => {
    const centred = k => Array.from(features, (value, i) => value - means[k * length + i]);
    const nearest = Math.min(...Array.from({ length: classes }, (_, k) => distance(centred(k))));
    return reference.filter(value => value <= -nearest).length / reference.length;
  };
  return { length, score, refused: Number(levels.threshold), unusual: Number(levels.unusual ?? 0) };
}
