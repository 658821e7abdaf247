"""Made-up patterns of all kinds, and texts in which they are found and in which they nearly are."""

from __future__ import annotations

import random

from ocihooks.hooksd.patterns import Pattern, PatternError

PIECES = (
    *(
        "a",
        "b",
        "ab",
        "x",
        "com",
        ".",
        "\\.",
        "/",
        "\\/",
        "-",
        "\\-",
        "_",
        "\\_",
        " ",
        "\\ ",
        "é",
        "\u212a",
        "k",
        "\ufffd",
    ),
    *(
        "^",
        "$",
        "\\^",
        "\\$",
        ".*",
        ".*?",
        "*",
        "+",
        "?",
        "{2}",
        "{0}",
        "{0,1}",
        "{,3}",
        "{",
        "}",
        "|",
        "(",
        ")",
        "(?:",
    ),
    *(
        "(?i)",
        "(?i:",
        "(?s)",
        "(?m)",
        "(?P<n>",
        "[ab]",
        "[^a]",
        "[",
        "]",
        "[|]",
        "[(]",
        "[[:alpha:]]",
        "\\",
        "\\\\",
        "\\d",
    ),
    *(
        "\\w",
        "\\b",
        "\\B",
        "\\A",
        "\\z",
        "\\Q",
        "\\E",
        "\\x61",
        "\\x{62}",
        "\\n",
        "\n",
        "\\pL",
        "\\C",
        "\0",
        "&",
        "\\&",
    ),
    *(
        "#",
        "\\#",
        '"',
        '\\"',
        "'",
        "\\'",
        "<",
        "\\<",
        ">",
        "\\>",
        "=",
        "\\=",
        "~",
        "\\~",
        "@",
        "\\@",
        "`",
        "\\`",
        ",",
        "\\,",
    ),
    *(
        "!",
        "\\!",
        "%",
        "\\%",
        ":",
        "\\:",
        ";",
        "\\;",
        "\\é",
        "\\a",
        "\\0",
        "\\1",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\|",
        "\\*",
    ),
)

SIMPLE = ("a", "b", "ab", "com", "x", "/", "\\.", "\\/", "-", "_", "\\-", ".*", "^", "$")

LETTERS = "abx.com/-_^$\\é\u212ak\ufffd \n*+?{}()[]|&#\"'<>=~@`,!%:;0123"


def make_pattern(rng: random.Random) -> str:
    """A pattern that RE2 takes."""
    while True:
        pieces = SIMPLE if rng.random() < 0.4 else PIECES
        source = "".join(rng.choice(pieces) for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 5, 7))))
        source = rng.choice(("", "", "^", ".*")) + source + rng.choice(("", "", "$", ".*"))
        try:
            Pattern(source).compile()
        except PatternError:
            continue
        return source


def make_texts(rng: random.Random, source: str) -> list[str]:
    """Texts for the pattern *source*: parts of it without its special letters, in several surroundings."""
    plain = "".join(letter for letter in source if letter not in "\\^$*+?.|(){}[]")
    unescaped = source.replace("\\", "").removeprefix("^").removesuffix("$").replace(".*", rng.choice(("", "a", "\n")))
    texts = ["", plain, unescaped, source]
    for core in (plain, unescaped):
        texts += [f"a{core}", f"{core}b", f"\n{core}", f"{core}\n", f"a{core}\nb", core[1:], core[:-1], core.upper()]
    texts += ["".join(rng.choice(LETTERS) for _ in range(rng.randrange(6))) for _ in range(4)]
    texts.append("".join(rng.choice(source or "a") for _ in range(rng.randrange(8))))
    return texts
