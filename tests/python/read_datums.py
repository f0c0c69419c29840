"""Avro datums, base64, one a line of a file, decoded by fastavro: one JSON object a line.

    read_datums.py SCHEMA FILE
"""
import base64
import io
import json
import sys

import fastavro

schema_path, datums_path = sys.argv[1:]
schema = fastavro.parse_schema(json.load(open(schema_path)))
for line in open(datums_path):
    print(json.dumps(fastavro.schemaless_reader(io.BytesIO(base64.b64decode(line)), schema)))
