"""The records of Avro files, read by fastavro, one JSON object a line.

    read_avro.py FILE...
"""
import base64
import json
import sys

import fastavro


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        for record in fastavro.reader(file):
            print(json.dumps(record, default=plain))
