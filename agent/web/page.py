"""Draws the page: a status, in the words of one reader, poured into the templates beside this file.

Each part of the page is one module that decides what is said and one template that draws it
(glance, cards, panel); page.html puts them together. The templates decide nothing and know no
words; every value is escaped, because sensor and rule names are what somebody typed.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.status import Status
from agent.web.cards import places
from agent.web.glance import glance
from agent.web.panel import panel
from agent.web.words import LANGUAGES, Language, Words

HERE = Path(__file__).parent

_TEMPLATE = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
).get_template("page.html")


def draw(status: Status, language: Language, zone: ZoneInfo) -> str:
    """Return the page as HTML."""
    say = Words(language, status.at, zone)
    return _TEMPLATE.render(
        say=say,
        languages=LANGUAGES,
        status=status,
        glance=glance(status, say),
        places=places(status, say),
        panel=panel(status, say),
    )
