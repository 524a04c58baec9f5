"""Signs that a text is not what OpenSIPS reads: that a preprocessor or another program is to read it first.

Owns them. Must not know the grammar. Authority: OpenSIPS's option -p; the manuals of GNU m4, envsubst, Jinja, PHP and
Kamailio.
"""

import re

from bridge.protocol.opensips_lex import Token

_PLACEHOLDER = re.compile(
    r"\$\{|\$\([A-Za-z_]|\$(?i:env)\(|\$[A-Z_][A-Z0-9_]{2,}|\{\{|\{%|<[%?]|`|%%\w+%%"
    r"|@[A-Z][A-Z0-9_]*@|__[A-Z][A-Z0-9_]*__"
)
_TEMPLATE = re.compile(r"\{\{-?\s*\w[^\n]*?\}\}|\{%-?\s*\w|<%|<\?|\$\{")
_KAMAILIO = re.compile(r"#!(define|trydef|redefine|ifn?def|ifexp|else|endif|subst|substdefs?|KAMAILIO|SER)\b")
_M4 = ("dnl", "changequote", "undivert", "divert", "esyscmd", "syscmd")


def placeholder(text: str) -> str | None:
    """What in a value looks as if it were to be filled in."""
    match = _PLACEHOLDER.search(text)
    return None if match is None else match[0]


def sign(token: Token, text: str, *, top: bool, called: bool) -> str | None:
    """What is strange about this token of ``text``, in words. ``top``: outside of any braces; ``called``: a parenthesis
    follows.
    """
    match token.kind:
        case "foreign" if token.text == "`":
            return "a backtick, as m4 quotes"
        case "foreign" if token.text == "\0":
            return "a NUL character, at which OpenSIPS gives up"
        case "unclosed":
            return f"a {token.text} that does not end"
        case "hash-bang" if (match := _KAMAILIO.match(token.text)) is not None:
            return f"{match[0]}, which is Kamailio's, and a comment to OpenSIPS"
        case "word" if token.text in _M4:
            return f"{token.text}, a word of m4"
        case "word" if top and called:
            return f"{token.text}( outside of a route, as in m4"
        case "mark" if text.startswith("//", token.at):
            return "//, which begins no comment in OpenSIPS"
        case "mark" if top and text.startswith("!!", token.at):
            return "!! outside of a route"
        case "mark" | "variable" if (match := _TEMPLATE.match(text, token.at)) is not None:
            return f"{match[0][:20]}, a placeholder of a template"
    return None
