"""For the reference in the site, see mkdocs.yml: the docstrings of this project as Markdown.

What they say of an argument or attribute, "name: meaning" with more of it indented below, becomes
an item of a list.
"""

import re

from griffe import Extension, Object

ITEM = re.compile(r"^((?:[a-z_]\w*, )*[a-z_]\w*): (?=\S)")


def as_markdown(text: str) -> str:
    lines, in_list = [], False
    for line in text.splitlines():
        item = ITEM.match(line)
        if item and not in_list:
            lines.append("")
        elif in_list and not item and line[:1].strip():
            # A line at the margin that names nothing ends the list.
            lines.append("")
        in_list = bool(item) or (in_list and not line[:1].strip())
        lines.append(ITEM.sub(r"- **\1**: ", line))
    return "\n".join(lines)


class Arguments(Extension):
    def on_object(self, *, obj: Object, **others: object) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
