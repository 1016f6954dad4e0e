"""Text out of bytes, in the charset that a content type names."""

__all__ = ["charset_of", "decode_text"]

_CHARSETS = {
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in range(1, 17) if part != 12},
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
    "ascii": "ascii",
    "big5": "big5hkscs",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-2022-jp": "iso2022_jp",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "latin-1": "iso8859-1",
    "latin1": "iso8859-1",
    "macintosh": "mac-roman",
    "shift_jis": "cp932",
    "us-ascii": "ascii",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "utf-8": "utf-8",
    "utf8": "utf-8",
}
"""Charsets that text comes in, and Python's codecs for them.

Python has more, but a peer may not choose from all of them: the time of some (punycode) grows with
the square of the text, and every unknown name that is looked up stays in memory.
"""


def charset_of(content_type: str) -> str:
    """The codec for the charset of a content type; UTF-8 where it names none that is known."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return _CHARSETS.get(value.strip().strip("\"'").lower(), "utf-8")
    return "utf-8"


def decode_text(body: bytes, content_type: str) -> str:
    """A body as text; bytes that do not fit are replaced."""
    return body.decode(charset_of(content_type), "replace")
