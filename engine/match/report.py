"""The report of a matching run: one HTML file with a drawing of every pair worth looking at."""

from collections.abc import Sequence

import jinja2

from ..outputs import REPORT_MARK
from .drawing import svg
from .evidence import Evidence

MOST_PAIRS = 200

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
{{ mark | safe }}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { margin: 0 auto; max-width: 960px; padding: 24px; font: 15px/1.5 system-ui, sans-serif; color: #1c2530;
         overflow-wrap: anywhere; }
  svg { max-width: 100%; height: auto; border: 1px solid #dfe4ea; border-radius: 8px; margin: 0 0 14px; }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
{% if shown < pairs %}<p>The likeliest {{ shown }} of {{ pairs }} pairs are drawn.</p>{% endif %}
{% for drawing in drawings %}{{ drawing | safe }}{% else %}<p>There is no pair to draw.</p>{% endfor %}
</body></html>
"""


def render_report(title: str, summary: str, pairs: Sequence[Evidence]) -> str:
    """A page that draws the first 200 of ``pairs``, in their order; ``summary`` is one sentence about all."""
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    drawings = [svg(pair) for pair in pairs[:MOST_PAIRS]]  # every text in them is escaped already
    return template.render(
        mark=REPORT_MARK, title=title, summary=summary, pairs=len(pairs), shown=len(drawings), drawings=drawings
    )
