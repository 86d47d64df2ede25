"""Text inside Markdown: what is special is escaped, and code remains code."""

from __future__ import annotations

import pytest

from cae.run.markdown import Markdown, escaped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.8*mse + 0.2*ssim", r"0.8\*mse + 0.2\*ssim"),
        ("a | b [c](d) <b> \\", r"a \| b \[c\](d) &lt;b> \\"),
        ("two\n lines", "two lines"),
        ("`run --where 'x=[1]'` and 2 more", "`run --where 'x=[1]'` and 2 more"),
        ("`a|b` | <i>", r"`a\|b` \| &lt;i>"),
        # One backtick without another one, or runs of several: other parts could be code.
        ("a ` <img>", r"a \` &lt;img>"),
        ("``` <img> `", r"\`\`\` &lt;img> \`"),
        ("` x `` y `code <img>`", r"\` x \`\` y \`code &lt;img>\`"),
        ("\x1b[31m", r"\\x1b\[31m"),
    ],
)
def test_text_cannot_become_markup(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_markdown_is_left_as_it_is() -> None:
    assert escaped(Markdown("**supported**")) == "**supported**"
