"""Posts of Bluesky by Python: websockets reads frames, json parses them, fastavro writes datums of the columns that
`tweet_full.avsc` for Bluesky has.

    jetstream.py SCHEMA ADDRESS POSTS      prints microseconds of CPU a post
"""
import io
import json
import sys
import time
from datetime import datetime

import fastavro
from websockets.sync.client import connect

schema_path, address, posts = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw = json.load(open(schema_path))
nothing = {field["name"]: None for field in raw["fields"]}
schema = fastavro.parse_schema(raw)

DIGITS = {digit: value for value, digit in enumerate("234567abcdefghijklmnopqrstuvwxyz")}


def number(key):
    value = 0
    for digit in key:
        value = value * 32 + DIGITS[digit]
    return value


def place(uri):
    _, _, did, _, key = uri.split("/")
    return did, number(key)


def picks(event):
    commit = event["commit"]
    record = commit["record"]
    row = dict(nothing)
    row["t_id"] = number(commit["rkey"])
    at = datetime.fromisoformat(record["createdAt"])
    row["t_created_at"] = at.strftime("%a %b %d %H:%M:%S +0000 %Y")
    row["t_timestamp_ms"] = str(event["time_us"] // 1000)
    row["t_text"] = record["text"]
    row["t_u_name"] = row["t_u_screen_name"] = event["did"]
    row["t_is_quote_status"] = row["t_retweeted"] = False
    reply = record.get("reply")
    if reply:
        row["t_in_reply_to_screen_name"], row["t_in_reply_to_status_id"] = place(reply["parent"]["uri"])
    embed = record.get("embed") or {}
    quoted = embed.get("record")
    if quoted:
        uri = quoted.get("uri") or quoted["record"]["uri"]
        row["t_is_quote_status"] = True
        row["q_u_name"], row["q_id"] = place(uri)
        row["q_u_screen_name"] = row["q_u_name"]
    return row


with connect(address, compression=None, max_size=None) as socket:
    start = time.process_time()
    for _ in range(posts):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, schema, picks(json.loads(socket.recv())))
        datum.getvalue()
    print((time.process_time() - start) * 1e6 / posts)
