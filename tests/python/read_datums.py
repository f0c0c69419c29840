"""Avro datums, base64, one a line on standard input, decoded by fastavro: one JSON object a line.

    read_datums.py SCHEMA
"""
import base64
import io
import json
import sys

import fastavro

schema = fastavro.parse_schema(json.load(open(sys.argv[1])))
for line in sys.stdin:
    print(json.dumps(fastavro.schemaless_reader(io.BytesIO(base64.b64decode(line)), schema)))
