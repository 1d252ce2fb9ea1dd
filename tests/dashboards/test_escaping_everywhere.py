"""Every text that reaches Streamlit is a literal of the source or passes through an escaping function, found by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganwatch import dashboards

SOURCES = sorted(Path(dashboards.__path__[0]).glob("*.py"))
DRAWING = {
    "badge", "button", "caption", "divider", "download_button", "error", "expander", "header", "info", "json", "markdown", "metric",
    "page_link", "pills", "popover", "radio", "segmented_control", "select_slider", "selectbox", "subheader", "success", "table", "tabs",
    "text", "text_input", "title", "toast", "toggle", "warning", "write", "image", "checkbox", "slider", "multiselect", "button_group",
    "status", "spinner", "form", "exception", "html", "latex", "dataframe", "number_input", "text_area", "link_button", "help", "dialog",
}  # fmt: skip
"""Methods that draw a text, on ``st`` or on a part of the screen."""
HANDED_ON = {"show_link": {"label", "icon"}}
"""Helpers with arguments that they hand on. These are checked where the helper is called."""
ARGUMENTS = {"label", "body", "help", "caption", "captions", "options", "format_func", "icon", "title", "value", "delta"}
"""Keywords whose values are displayed."""
ESCAPING = {"escape_markdown", "escape_name", "escape_prose", "code_span"}
PLAIN = ESCAPING | {"plain_text", "run_label"}
"""Functions that are enough for a list of options, which renders no Markdown."""
SAFE_CALLS = ESCAPING | {"_cell", "_heading", "read_runbook", "format_duration", "format_number", "open_count_text", "strftime", "len"}
"""Functions that escape, and those whose result holds digits, units and dates only. Runbooks are files of ganwatch."""
NOT_MARKDOWN = {("html", 0), ("json", 0), ("image", 0), ("download_button", 1), ("page_link", 0), ("metric", 1)}
"""Arguments that are no Markdown: a literal style, JSON, pixels, a file, a page."""


NUMBER_FORMATS = (",", "d", "f", "%")
"""Ends of format specifications that refuse a text."""


class Texts:
    """Decides if an expression can only be a literal of the source or an escaped text. Names are followed within their function."""

    def __init__(self, tree: ast.Module, scope: ast.AST) -> None:
        assigned = [(target, node.value) for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        self.constants = {name.id: value for target, value in assigned for name in ast.walk(target) if isinstance(name, ast.Name)}
        self.scope = scope
        self.open: set[str] = set()

    def safe(self, node: ast.expr | None, allowed: set[str] = SAFE_CALLS) -> bool:
        parts: list[ast.expr | None]
        match node:
            case ast.Call(func=ast.Attribute(attr="join"), args=[part]) | ast.Call(func=ast.Name(id="list"), args=[part]):
                parts = [part]
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return name in allowed
            case ast.Name(id=name):
                return name in allowed or self._name(name, allowed)
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=[ast.Constant(value=str(form))])) if form.endswith(NUMBER_FORMATS):
                parts = []
            case None | ast.Constant():
                parts = []
            case ast.JoinedStr(values=items) | ast.BoolOp(values=items) | ast.List(elts=items) | ast.Tuple(elts=items):
                parts = [*items]
            case ast.Dict(keys=keys, values=values):
                parts = [*keys, *values]
            case ast.IfExp(body=first, orelse=second) | ast.BinOp(left=first, right=second) | ast.DictComp(key=first, value=second):
                parts = [first, second]
            case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part) | ast.Lambda(body=part):
                parts = [part]
            case ast.FormattedValue(value=part) | ast.Starred(value=part) | ast.Subscript(value=part):
                parts = [part]
            case ast.Attribute(value=part, attr="__getitem__"):
                parts = [part]
            case _:
                return False
        return all(self.safe(part, allowed) for part in parts)

    def _name(self, name: str, allowed: set[str]) -> bool:
        """Every value that the function gives to a name, and every item that it adds, is safe. A loop over literals is one of these."""
        if name in self.open:
            return True
        given = list(self._given(name))
        if not given:
            return name in self.constants and self.safe(self.constants[name], allowed)
        self.open.add(name)
        try:
            return all(self.safe(value, allowed) for value in given)
        finally:
            self.open.discard(name)

    def _given(self, name: str) -> Iterator[ast.expr | None]:
        """A loop over ``zip`` takes its texts from the last of the sequences."""
        unknown = ast.Attribute()
        for node in ast.walk(self.scope):
            match node:
                case ast.arg(arg=argument, annotation=annotation) if argument == name:
                    yield ast.Constant("red") if isinstance(annotation, ast.Name) and annotation.id == "Colour" else unknown
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        if isinstance(target, ast.Name) and target.id == name:
                            yield value
                        elif any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(target)):
                            yield value if isinstance(value, ast.Tuple) else unknown
                case ast.AnnAssign(target=ast.Name(id=target), value=value) | ast.AugAssign(target=ast.Name(id=target), value=value):
                    if target == name:
                        yield value
                case ast.For(target=target, iter=ast.Call(func=ast.Name(id="zip"), args=[*_, value])) if name in ast.unparse(target):
                    yield value
                case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                    if any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(target)):
                        yield value
                case ast.Call(func=ast.Attribute(value=ast.Name(id=target), attr="append" | "insert"), args=arguments) if target == name:
                    yield arguments[-1]


def unescaped(source: str) -> list[str]:
    """The calls that draw a text which may be neither a literal nor escaped."""
    tree = ast.parse(source)
    found = []
    for scope in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        texts = Texts(tree, scope)
        for call in [node for node in ast.walk(scope) if isinstance(node, ast.Call)]:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            is_drawing = isinstance(call.func, ast.Attribute) and name in DRAWING
            if not is_drawing and name not in HANDED_ON:
                continue
            allowed = PLAIN if name == "selectbox" else SAFE_CALLS
            shown = [(place, value) for place, value in enumerate(call.args) if (name, place) not in NOT_MARKDOWN]
            shown = [pair for pair in shown if pair[0] < 2] if is_drawing else shown[1:2]
            shown += [(word.arg, word.value) for word in call.keywords if word.arg in ARGUMENTS]
            has_format = any(word.arg == "format_func" for word in call.keywords)
            for place, value in shown:
                if has_format and place in {1, "options", "value"}:
                    continue  # what is displayed of the options is what format_func returns
                if place in HANDED_ON.get(scope.name, ()):
                    continue
                if not texts.safe(value, allowed):
                    found.append(f"line {call.lineno}: {name}({ast.unparse(value)})")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_displayed_text_is_a_literal_or_escaped(path: Path) -> None:
    assert not unescaped(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "st.markdown(record.name)", "st.caption(f'run {record.id}')", "column.metric('a', 'b', help=signal.help)",
        "x = one.title; st.header(f'**{x}**')", "facts = ['a']; facts.append(one.id); st.caption(', '.join(facts))",
        "st.table([{'a': one.host}])", "st.image(png, caption=name)",
        "st.radio('a', ids, format_func=lambda one: by_id[one].title)", "st.page_link(page, label=record.name)", "st.write(one)",
        "show_link('curves', record.name, run=record.id)", "st.selectbox('Run', ids, format_func=lambda one: names[one])",
        "st.markdown(f'{one.title:>10}')", "for one in rows: st.markdown(one)",
    ],
)  # fmt: skip
def test_an_unescaped_text_is_found(line: str) -> None:
    assert unescaped(f"def draw(record, one, ids, rows):\n    {line}")
