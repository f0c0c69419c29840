"""The records of Avro files, read by fastavro, one JSON object a line.

    read_avro.py [--torn] FILE...     --torn: what is read before a file breaks off
"""
import base64
import json
import sys

import fastavro


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


paths = sys.argv[1:]
torn = paths[0] == "--torn"
for path in paths[torn:]:
    with open(path, "rb") as file:
        try:
            for record in fastavro.reader(file):
                print(json.dumps(record, default=plain))
        except Exception as error:
            if not torn:
                raise
            print(error, file=sys.stderr)
