/* The little that the page does in the visitor's browser; app.py puts SETTINGS before it. */
const skinvision = {
  /* The slider of the heat map. */
  setOpacity(value) {
    document.documentElement.style.setProperty('--sv-opacity', value);
  },

  /* After an answer. A TIFF, which browsers do not show, is replaced by the JPEG of its heat map; on a phone, where the
     answer is below the image, it scrolls into view. */
  showAnswer(photo) {
    const shown = document.querySelector('#photo img'), copy = document.querySelector('.sv-stack img');
    const replace = () => { if (copy && shown.complete && !shown.naturalWidth) shown.src = copy.src; };
    if (shown && copy) { replace(); shown.addEventListener('error', replace, { once: true }); }
    const answer = document.getElementById('answer');
    if ((photo || answer.querySelector('.sv-error')) && matchMedia('(max-width: 760px)').matches)
      answer.scrollIntoView({ behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  },

  /* Saves the answer as one page that needs no other file; nothing is sent. */
  saveAnswer(withPhoto) {
    const answer = document.getElementById('answer').cloneNode(true);
    const figure = document.querySelector('#overlay figure');
    answer.querySelectorAll('details').forEach(details => details.open = true);
    const opacity = document.documentElement.style.getPropertyValue('--sv-opacity') || 0.6;
    const page = `<!doctype html><html lang="en" style="--sv-opacity:${opacity}"><meta charset="utf-8"><title>SkinVision</title>
      <style>${this.savedStyle}</style><body><h1>SkinVision</h1><p>${new Date().toLocaleString()}</p>
      ${answer.innerHTML}${withPhoto && figure ? figure.outerHTML : ''}
      <p><strong>${SETTINGS.disclaimer}</strong></p></body></html>`;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([page], { type: 'text/html' }));
    link.download = 'skinvision.html';
    link.click();
    URL.revokeObjectURL(link.href);
  },

  savedStyle: `
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 42em; margin: 2em auto; padding: 0 1em; color: #1b2430; }
    summary { font-weight: 600; }
    figure { margin: 1em 0; }
    ol { padding: 0; list-style: none; }
    .sv-row { display: flex; gap: .7em; }
    .sv-pill { color: #55606f; }
    .sv-percent { margin-left: auto; }
    .sv-track { background: #dde3ea; height: 8px; }
    .sv-fill { background: #0a6fa8; height: 8px; }
    .sv-malignant .sv-fill { background: #b8480a; }
    .sv-notice, .sv-verdict { border-left: 4px solid #b8480a; padding-left: 1em; }
    .sv-clear { border-color: #0a6fa8; }
    .sv-stack { position: relative; }
    .sv-stack img { display: block; width: 100%; }
    .sv-heat { position: absolute; inset: 0; opacity: var(--sv-opacity); }
    .sv-scale { display: none; }`,
};

/* Screen readers announce answers, and examples have names. */
(() => {
  const each = (where, act) => document.querySelectorAll(where).forEach(act);
  const tell = () => {
    each('#answer, #overlay', element => element.setAttribute('aria-live', 'polite'));
    const captions = document.querySelectorAll('#captions li');
    each('#examples button', (button, number) => {
      button.dataset.caption = captions[number]?.textContent || '';
      button.setAttribute('aria-label', `Example ${number + 1}: ${button.dataset.caption}`);
    });
  };
  tell();
  new MutationObserver(tell).observe(document.documentElement, { childList: true, subtree: true });
})();

/* Gradio refuses files by size and type with words of its own; this hands them to the server, which says in the
   answer's place what is wrong. Of a file that is too large, one byte more than the limit is enough. */
(() => {
  const limit = SETTINGS.maxBytes;
  const fit = file => file.size <= limit && file.type.startsWith('image/')
    ? file : new File([file.slice(0, limit + 1)], 'upload.png', { type: 'image/png' });
  const hand = files => {
    const transfer = new DataTransfer();
    transfer.items.add(fit(files[0]));
    return transfer.files;
  };
  const unfit = files => files && files.length && fit(files[0]) !== files[0];
  document.addEventListener('change', event => {
    const input = event.target;
    if (input.type === 'file' && input.closest('#photo') && unfit(input.files)) input.files = hand(input.files);
  }, true);
  document.addEventListener('drop', event => {
    const input = event.target.closest?.('#photo')?.querySelector('input[type=file]');
    if (!input || !unfit(event.dataTransfer?.files)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    input.files = hand(event.dataTransfer.files);
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }, true);
})();
