"""The little that the page does in the visitor's browser."""

__all__ = ["NAMES_SCRIPT", "OPACITY_SCRIPT", "SCROLL_SCRIPT"]

OPACITY_SCRIPT = "(value) => { document.documentElement.style.setProperty('--sv-opacity', value); }"
"""What the slider runs; see `overlay_html`."""

SCROLL_SCRIPT = """(photo) => {
    const answer = document.getElementById('answer');
    const answered = photo || answer.querySelector('.sv-error');
    if (answered && matchMedia('(max-width: 760px)').matches)
        answer.scrollIntoView({ behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
}"""
"""What the page runs after an answer: on a telephone, where it stands below the photograph, it comes into view."""

NAMES_SCRIPT = """() => {
    const set = (where, name, text) => document.querySelectorAll(where).forEach(
        (element, number) => element.setAttribute(name, text.replace('#', number + 1)));
    const tell = () => {
        set('#answer, #overlay', 'aria-live', 'polite');
        set('#examples button', 'aria-label', 'Example #');
    };
    tell();
    new MutationObserver(tell).observe(document.body, { childList: true, subtree: true });
}"""
"""What the page runs at first: a screen reader announces answers when they change, and examples have names."""
