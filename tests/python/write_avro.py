"""Writes records of an id and a text with fastavro: SCHEMA TEXTS.json FILE CODEC BYTES."""

import json
import sys

import fastavro.write

schema, texts, file, codec, length = sys.argv[1:]
with open(schema) as text:
    parsed = fastavro.parse_schema(json.load(text))
with open(texts) as text, open(file, "wb") as out:
    writer = fastavro.write.Writer(out, parsed, codec=codec, sync_interval=4096)
    for number, text in enumerate(json.load(text)):
        writer.write({"id": number, "text": text})
        if out.tell() > int(length):
            break
    writer.flush()
