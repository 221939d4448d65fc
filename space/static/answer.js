/* What the page says: the macros of `skinvision_hf/templates/page.html` in the browser, with the same phrases. */
export const settings = JSON.parse(document.getElementById('settings').textContent);
export const codes = settings.diagnoses.map(entry => entry.code);

/* What went wrong, in one sentence for the visitor. */
export class Fault extends Error {}
export const NO_MEMORY = 'Your browser has too little memory for this image; scale it down, or close other tabs.';

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = text => text.replace(/[&<>"']/g, character => ESCAPES[character]);
export const find = code => settings.diagnoses.find(entry => entry.code === code);
const group = entry => entry.malignant ? 'malignant' : 'benign';

function say(phrase, values = {}) {
  return escape(settings.phrases[phrase].replace(/\{(\w+)\}/g, (_, name) => values[name]));
}

function percent(probability) {
  if (probability < 0.01) return '<1%';
  return probability > 0.99 ? '>99%' : `${Math.round(100 * probability)}%`;
}

const inSentence = code => find(code).name.replace(/^./, first => first.toLowerCase());
const listed = names => new Intl.ListFormat('en-GB').format(names); // "a, b and c"

export const errorHtml = text => `<div class="sv-notice sv-error"><strong>${say('error')}</strong> ${escape(text)}</div>`;
export const noticeHtml = phrase =>
  `<div class="sv-notice" role="note"><strong>${say(`${phrase}_title`)}</strong> ${say(phrase)}</div>`;

export function answerHtml(answer) {
  const notice = { null: 'no_ood', false: 'unlike', true: answer.unusual ? 'unusual' : '' }[answer.inDistribution];
  const [[label, confidence], [second, probability]] = answer.ranked;
  const other = probability < settings.folded
    ? say('no_second') : say('second', { name: inSentence(second), probability: percent(probability) });
  return `${notice && noticeHtml(notice)}
<section class="sv-answer ${answer.inDistribution === false ? 'sv-doubtful' : ''}" aria-label="Answer">
${verdict(answer)}
<p class="sv-eyebrow">${say('most_probable')}</p>
<p class="sv-label"><span>${escape(find(label).name)}</span> <strong>${escape(percent(confidence))}</strong>
${pill(find(label))}</p>
${note(other)}
<details><summary>${say('details')}</summary>${details(answer)}</details>
</section>`;
}

function verdict({ point, label, malignant, suspicious }) {
  if (!point) return note(say('no_verdict'));
  const [sensitivity, specificity] = [point.sensitivity.value ?? 0, point.specificity.value ?? 0];
  const close = percent(malignant) === percent(point.threshold);
  const share = value => close ? `${(100 * value).toFixed(1)}%` : percent(value);
  const measured = suspicious
    ? say('finds', { sensitivity: percent(sensitivity), false_alarms: percent(1 - specificity) })
    : say('misses', { missed: percent(1 - sensitivity) });
  const word = suspicious ? 'suspicious' : 'clear', why = suspicious && !find(label).malignant && say('still_benign');
  return `<div class="sv-verdict sv-${word}"><h2>${say(word)}</h2>
<p>${say('threshold', { malignant: share(malignant), threshold: share(point.threshold) })} ${measured}
${why || ''}</p></div>`;
}

function details({ ranked, set, inDistribution, score, refused }) {
  const shown = ranked.filter(([, probability]) => probability >= settings.folded), folded = ranked.slice(shown.length);
  const summary = say(folded.length > 1 ? 'folded' : 'one_folded', { number: folded.length });
  const coverage = percent(settings.coverage);
  return [
    bars(shown),
    folded.length && `<details><summary>${summary}</summary>${bars(folded)}</details>`,
    note(say('malignant')),
    set && inDistribution !== false && note(say('set', { coverage, names: listed(set.map(inSentence)) })),
    score !== null && note(say('score', { score: score.toFixed(2), refused: refused.toFixed(2) })),
  ].filter(Boolean).join('\n');
}

const note = text => `<p class="sv-note">${text}</p>`;
const pill = entry => `<span class="sv-pill sv-${group(entry)}">${entry.group}</span>`;

function bars(entries) {
  return `<ol class="sv-bars">${entries.map(([code, probability]) => `
<li class="sv-${group(find(code))}" data-code="${code}" data-probability="${probability}">
<div class="sv-row"><span class="sv-name">${escape(find(code).name)}</span> ${pill(find(code))}
<span class="sv-percent">${escape(percent(probability))}</span></div>
<div class="sv-track" aria-hidden="true"><div class="sv-fill" style="width:${(100 * probability).toFixed(2)}%"></div></div>
<p>${escape(find(code).description)}</p></li>`).join('')}</ol>`;
}

export function figureHtml(shown, heat, code) {
  const name = inSentence(code);
  const caption = heat.any
    ? [say('supports', { name }), heat.atBorder && say('border'), say('cells', heat)].filter(Boolean).join(' ')
    : say('nothing', { name });
  return `<figure class="sv-overlay" data-target="${code}">
<div class="sv-stack"><img src="${shown}" alt="${say('photo')}">
<img class="sv-heat" src="${heat.layer}" alt="${say('heat', { name })}"></div>
<div class="sv-scale" aria-hidden="true"><span>${say('little')}</span><i></i><span>${say('much')}</span></div>
<figcaption>${caption}</figcaption></figure>`;
}

/* Key numbers of the release; none without measurements. */
export function numbersHtml({ overall, point }) {
  const numbers = Object.entries(
    { balanced_accuracy: overall?.balanced_accuracy, found: point?.sensitivity, cleared: point?.specificity });
  const interval = ({ low, high }) => low === null ? '' : say('interval', { low: percent(low), high: percent(high) });
  return `<div class="sv-numbers">${numbers.filter(([, estimate]) => estimate).map(([phrase, estimate]) => `
<div><strong>${escape(percent(estimate.value ?? 0))}</strong><span>${say(phrase)}</span>
<small>${interval(estimate)}</small></div>`).join('')}</div>`;
}
