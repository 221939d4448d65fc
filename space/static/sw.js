/* Keeps the page's own files, so that it opens without a network; the page itself keeps the model's. */
const CACHE = 'skinvision-page';
const FILES = [
  './', 'index.html', 'style.css', 'page.css', 'theme.js', 'page.js', 'answer.js', 'heat.js', 'image.js', 'model.js',
  'ort.js', 'ort-wasm-simd-threaded.wasm',
];

addEventListener('install', event =>
  event.waitUntil(caches.open(CACHE).then(cache => cache.addAll(FILES)).then(() => skipWaiting())));
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => {
  if (event.request.method === 'GET' && new URL(event.request.url).origin === location.origin)
    event.respondWith(answer(event.request));
});

/* The network first, so that a new version of the page is seen at once. */
async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    return await cache.match(request, { ignoreSearch: true }) ?? Promise.reject(error);
  }
}
