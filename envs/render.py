"""A shown page as text or as a picture: position, title, price, relevance, clicked, bought."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.world import World

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = ["slate_picture", "slate_text"]

_ROW, _MARGIN = 26, 12
_INK, _FAINT, _PAPER = (32, 33, 36), (128, 130, 134), (255, 255, 255)
_TINT = {"clicked": (226, 238, 253), "in cart": (255, 243, 205), "bought": (217, 242, 222)}


@dataclass(frozen=True)
class _Line:
    position: int
    title: str
    price: str
    relevance: str
    clicked: bool = False
    carted: bool = False
    bought: bool = False

    @property
    def mark(self) -> str:
        return "bought" if self.bought else "in cart" if self.carted else "clicked" if self.clicked else ""


def slate_text(
    world: World,
    *,
    query: int,
    slate: NDArray[np.integer[Any]],
    click: NDArray[Any] | None = None,
    cart: NDArray[Any] | None = None,
    purchase: NDArray[Any] | None = None,
    heading: str = "",
    width: int = 78,
) -> str:
    """One page as plain text.

    Args:
        world: For titles, queries, prices and relevance.
        query: Query row; -1 for none.
        slate: (K,) catalogue rows in order, -1 for an empty position.
        click: (K,) clicks, where known.
        cart: (K,) items put into the cart, where known.
        purchase: (K,) purchases, where known.
        heading: Put above the page.
        width: Characters a line.
    """
    room = max(width - 34, 8)
    lines = [heading] if heading else []
    lines.append(f'query: "{_query(world, query)}"')
    lines.append(f"{'#':>3}  {'title':<{room}} {'price':>10} {'relevance':>9}")
    for line in _lines(world, query, slate, click, cart, purchase):
        title = line.title if len(line.title) <= room else line.title[: room - 1] + "…"
        lines.append(
            f"{line.position:>3}  {title:<{room}} {line.price:>10} {line.relevance:>9}  {line.mark}".rstrip()
        )
    return "\n".join(lines)


def slate_picture(
    world: World,
    *,
    query: int,
    slate: NDArray[np.integer[Any]],
    click: NDArray[Any] | None = None,
    cart: NDArray[Any] | None = None,
    purchase: NDArray[Any] | None = None,
    heading: str = "",
    width: int = 720,
    n_rows: int = 0,
) -> NDArray[np.uint8]:
    """One page as an RGB picture (height, `width`, 3); clicked rows are blue, carted ones yellow, bought ones green.

    Args:
        world: For titles, queries, prices and relevance.
        query: Query row; -1 for none.
        slate: (K,) catalogue rows in order, -1 for an empty position.
        click: (K,) clicks, where known.
        cart: (K,) items put into the cart, where known.
        purchase: (K,) purchases, where known.
        heading: Put above the page.
        width: Pixels, at least 360.
        n_rows: Room for at least so many positions: pictures of one height, before the first page too.
    """
    from PIL import Image, ImageDraw

    width = max(width, 360)
    rows = _lines(world, query, slate, click, cart, purchase)
    top = _MARGIN + (_ROW if heading else 0)
    picture = Image.new("RGB", (width, top + _ROW * (max(len(rows), n_rows) + 2) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    font, bold = _font("DejaVuSans.ttf"), _font("DejaVuSans-Bold.ttf")
    right = width - _MARGIN
    columns = {"mark": right, "relevance": right - 70, "price": right - 150}
    room = columns["price"] - 80 - (_MARGIN + 32)

    if heading:
        draw.text((_MARGIN, _MARGIN), _fit(heading, font, width - 2 * _MARGIN), _FAINT, font)
    title = f"“{_query(world, query)}”"
    draw.text((_MARGIN, top), _fit(title, bold, width - 2 * _MARGIN), _INK, bold)
    y = top + _ROW
    draw.text((_MARGIN + 20, y), "#", _FAINT, font, anchor="ra")
    draw.text((_MARGIN + 32, y), "title", _FAINT, font)
    for name in ("price", "relevance"):
        draw.text((columns[name], y), name, _FAINT, font, anchor="ra")
    for row in rows:
        y += _ROW
        if row.mark:
            draw.rectangle((4, y - 4, width - 4, y + _ROW - 5), _TINT[row.mark])
        draw.text((_MARGIN + 20, y), str(row.position), _FAINT, font, anchor="ra")
        draw.text((_MARGIN + 32, y), _fit(row.title, font, room), _INK, font)
        draw.text((columns["price"], y), row.price, _INK, font, anchor="ra")
        draw.text((columns["relevance"], y), row.relevance, _INK, font, anchor="ra")
        draw.text((columns["mark"], y), row.mark, _INK, bold, anchor="ra")
    return np.asarray(picture, np.uint8).copy()


def _query(world: World, query: int) -> str:
    if query < 0:
        return ""
    return world.queries[query] if query < len(world.queries) else f"query {query}"


def _lines(
    world: World,
    query: int,
    slate: NDArray[np.integer[Any]],
    click: NDArray[Any] | None,
    cart: NDArray[Any] | None,
    purchase: NDArray[Any] | None,
) -> list[_Line]:
    shown = np.asarray(slate, np.int32)
    relevance = None
    if query >= 0:
        relevance = world.features.relevance.click_probability(np.array([query], np.int32), shown[None])[0]
    lines = []
    for k, item in enumerate(shown.tolist()):
        if item < 0:
            lines.append(_Line(k + 1, "(empty)", "", ""))
            continue
        price = float(world.features.price[item])
        lines.append(
            _Line(
                position=k + 1,
                title=world.titles[item] if item < len(world.titles) else f"item {item}",
                price="" if math.isnan(price) else f"{price:,.2f}",
                relevance="" if relevance is None else f"{relevance[k]:.3f}",
                clicked=click is not None and bool(click[k]),
                carted=cart is not None and bool(cart[k]),
                bought=purchase is not None and bool(purchase[k]),
            )
        )
    return lines


@lru_cache(maxsize=4)
def _font(name: str) -> FreeTypeFont:
    # Matplotlib's DejaVu covers Latin, Greek, Cyrillic and currency signs; Pillow's own font does not.
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), 13)


def _fit(text: str, font: FreeTypeFont, room: float) -> str:
    line = " ".join(text.split())
    if font.getlength(line) <= room:
        return line
    # Measuring a text takes as long as drawing it: the longest beginning that fits is found by halves.
    fitting = bisect_right(range(len(line)), room, key=lambda n: font.getlength(line[:n] + "…"))
    return line[: max(fitting - 1, 0)] + "…"
