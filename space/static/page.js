/* The page: what the visitor gives it, and what it shows. Images stay in this script's memory. */
import { answerHtml, errorHtml, Fault, figureHtml, find, noticeHtml, numbersHtml, settings } from './answer.js';
import { heatMap } from './heat.js';
import { openImage } from './image.js';
import { download, listExamples, loadModel, predict } from './model.js';

const get = id => document.getElementById(id);
const waiting = get('answer').innerHTML;
const NO_COPY = 'There is no image in the clipboard; copy one first.';
const NO_FILE = 'This page opens files, not web addresses; save the image, then drop the file here.';
const narrow = matchMedia('(max-width: 760px)');
let current = null, asked = 0; // the image that is shown, its answer and the model; and the number of the last question
const report = (now, total) => Object.assign(get('progress'), { hidden: now >= total, value: now / (total || 1) });

async function prepare() {
  get('status').textContent = 'Loading the model: about 23 MB on the first visit.';
  try {
    const model = await loadModel(report);
    get('numbers').innerHTML = numbersHtml(model);
    return model;
  } finally {
    get('status').textContent = '';
    get('progress').hidden = true;
  }
}

/* Turns what goes wrong into one sentence; what is shown already stays. */
async function trying(act) {
  get('error').innerHTML = '';
  await act().catch(error => {
    const known = error instanceof Fault;
    if (!known) console.error(error);
    get('error').innerHTML = errorHtml(known ? error.message : 'Something unexpected happened; reload the page.');
    if (narrow.matches) get('error').scrollIntoView();
  });
}

/* Answers a file, or what is downloaded; of several in a row, the last one. */
function look(file) {
  const turn = asked += 1;
  return trying(async () => {
    document.body.classList.add('busy');
    try {
      const image = await openImage(await file), model = await prepare();
      await new Promise(resolve => setTimeout(resolve, 20)); // lets the browser draw first
      const answer = await predict(model, image);
      if (turn !== asked) return;
      current = { image, model, answer };
      show(answer.inDistribution !== false);
    } finally {
      if (turn === asked) document.body.classList.remove('busy');
    }
  });
}

function show(answered) {
  const { image, answer } = current;
  Object.assign(get('shown'), { src: image.shown, hidden: false });
  get('remove').hidden = get('another').hidden = false;
  get('answer').innerHTML = answered ? answerHtml(answer) : noticeHtml('unlike');
  get('anyway').hidden = answered;
  get('save').hidden = get('why').hidden = !answered;
  if (answered) explain(answer.label);
  if (narrow.matches) get('output').scrollIntoView();
}

function explain(code) {
  const { image, answer, model } = current;
  const heat = heatMap(image, answer.maps, model.centres, settings.diagnoses.findIndex(entry => entry.code === code));
  get('target').value = code;
  get('overlay').innerHTML = figureHtml(image.shown, heat, code);
}

function forget() {
  current = null;
  asked += 1;
  get('answer').innerHTML = waiting;
  get('error').innerHTML = get('overlay').innerHTML = '';
  get('shown').removeAttribute('src');
  document.body.classList.remove('busy');
  for (const id of ['shown', 'remove', 'another', 'anyway', 'save', 'why']) get(id).hidden = true;
  get('file').focus();
}

/* Saves the answer as one page that needs no other file; nothing is sent. */
function save() {
  const answer = get('answer').cloneNode(true);
  answer.querySelectorAll('details').forEach(part => part.open = true);
  const style = [...document.styleSheets].flatMap(sheet => [...sheet.cssRules], 1).map(rule => rule.cssText).join('\n');
  const page = `<!doctype html><html lang="en" style="--sv-opacity:${get('opacity').value}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>SkinVision</title><style>${style}</style>
<body class="saved"><h1>SkinVision</h1><p>${new Date().toLocaleString()}, ${settings.files}</p>${answer.innerHTML}
${get('with-photo').checked ? get('overlay').innerHTML : ''}<p><strong>${settings.disclaimer}</strong></p></body></html>`;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([page], { type: 'text/html' }));
  link.download = 'skinvision.html';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function paste() {
  const items = await navigator.clipboard.read().catch(() => {
    throw new Fault('Your browser does not let this page read the clipboard; press Ctrl+V, or choose a file.');
  });
  const images = items.flatMap(item => item.types.filter(type => type.startsWith('image/')).map(type => item.getType(type)));
  return take(images, NO_COPY);
}

async function offerExamples() {
  for (const [path, code] of await listExamples()) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: find(code).name });
    button.addEventListener('click', () => look(download(path).then(bytes => new Blob([bytes]))));
    get('samples').append(button);
  }
}

/* Answers the first of the files; without any, says why not, if there is a reason. */
const take = (files, reason) => files.length ? look(files[0]) : reason && trying(() => Promise.reject(new Fault(reason)));
for (const input of document.querySelectorAll('input[type=file]'))
  input.addEventListener('change', () => { take(input.files); input.value = ''; });
document.addEventListener('paste', event => take(event.clipboardData.files, NO_COPY));
document.addEventListener('dragover', event => event.preventDefault());
document.addEventListener('drop', event => { event.preventDefault(); take(event.dataTransfer.files, NO_FILE); });
get('paste').hidden = !navigator.clipboard?.read;
get('paste').addEventListener('click', () => trying(paste));
get('remove').addEventListener('click', forget);
get('anyway').addEventListener('click', () => show(true));
get('target').addEventListener('change', event => explain(event.target.value));
get('opacity').addEventListener('input', event => document.body.style.setProperty('--sv-opacity', event.target.value));
get('save').querySelector('button').addEventListener('click', save);
navigator.serviceWorker?.register('sw.js').catch(() => null); // without it, the page needs a network
trying(prepare).then(offerExamples);
