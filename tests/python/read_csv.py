"""The rows of CSV files, read by Python's csv module, one JSON object a line.

    read_csv.py FILE...
"""
import csv
import json
import sys

csv.field_size_limit(1 << 24)
for path in sys.argv[1:]:
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            print(json.dumps(row))
