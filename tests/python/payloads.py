"""The JSON values of a folder's .json and .jsonl files, one a line, in the order of their paths.

    payloads.py FOLDER OUT

What is no JSON goes through as the line that it is; nothing within a value changes but its line ends, which
JSON allows between tokens only.
"""
import json
import pathlib
import sys


def values(text):
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return
        try:
            end = json.JSONDecoder().raw_decode(text, at)[1]
        except ValueError:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
        yield " ".join(text[at:end].splitlines())
        at = end


folder, out = map(pathlib.Path, sys.argv[1:])
with out.open("w", encoding="utf-8") as lines:
    for path in sorted(p for p in folder.rglob("*.json*") if p.is_file()):
        for value in values(path.read_text(encoding="utf-8-sig")):
            print(value, file=lines)
