"""Screens that pages are shown on, and what is measured of a page there."""

import re
from typing import Any

from playwright.sync_api import Page

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABLET: dict[str, Any] = {"viewport": {"width": 768, "height": 1024}}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
DARK: dict[str, Any] = DESKTOP | {"color_scheme": "dark"}
NAME = "(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || '')"


def sideways_scroll(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def reached_by_keyboard(page: Page, presses: int) -> str:
    """The names of all that has the focus while Tab is pressed so often."""
    names = set()
    for _ in range(presses):
        page.keyboard.press("Tab")
        names.add(page.evaluate(f"{NAME}(document.activeElement)").strip())
    return " | ".join(names)


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast ratio of a text with the first opaque colour behind it."""
    colours = page.locator(selector).first.evaluate(
        """element => {
            const colour = getComputedStyle(element).color;
            let behind = element;
            while (behind && /^(transparent|rgba\\(.*, 0\\))$/.test(getComputedStyle(behind).backgroundColor))
                behind = behind.parentElement;
            return [colour, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'];
        }"""
    )
    lights = sorted(luminance([int(c) for c in re.findall(r"\d+", colour)[:3]]) for colour in colours)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(rgb: list[int]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
