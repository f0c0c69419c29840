"""The original's way of a tweet: its producer loads, picks and encodes, its consumer decodes and appends to a
deflate container, with avro-python3 1.8.1. The schema is parsed once, which is kinder than the original was.

    original.py SCHEMA LINES OUT      prints microseconds of CPU a tweet by step, and the file's bytes a tweet
"""
import io
import json
import os
import sys
import time

import avro.schema
from avro.datafile import DataFileWriter
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter

schema_path, lines_path, out_path = sys.argv[1:]
schema = avro.schema.Parse(open(schema_path).read())
lines = open(lines_path, "rb").read().splitlines()

STATUS = ["id", "created_at", "text", "in_reply_to_screen_name", "in_reply_to_status_id", "in_reply_to_user_id"]
TWEET = STATUS + ["timestamp_ms", "favourite_count", "favorited", "is_quote_status", "retweeted"]
USER = ["id", "name", "screen_name", "description", "lang", "location", "statuses_count", "followers_count",
        "favourites_count", "friends_count", "created_at"]
TWEET_KEYS = [("t." + name, name) for name in TWEET]
KEYS = {part: [(f"{part}.{name}", name) for name in STATUS] for part in "qr"}
USER_KEYS = {part: [(f"{part}.u.{name}", name) for name in USER] for part in "tqr"}


def picks(tweet):
    user = tweet["user"]
    data = {key: tweet.get(name) for key, name in TWEET_KEYS}
    data.update({key: user.get(name) for key, name in USER_KEYS["t"]})
    for part, member in (("q", "quoted_status"), ("r", "retweeted_status")):
        if member in tweet:
            status = tweet[member]
            user = status["user"]
            data.update({key: status.get(name) for key, name in KEYS[part]})
            data.update({key: user.get(name) for key, name in USER_KEYS[part]})
    return {key: value for key, value in data.items() if value is not None}


datum_writer = DatumWriter(schema)
datum_reader = DatumReader(schema)


def encode(data):
    buffer = io.BytesIO()
    datum_writer.write(data, BinaryEncoder(buffer))
    return buffer.getvalue()


def decode(datum):
    return datum_reader.read(BinaryDecoder(io.BytesIO(datum)))


took = {}


def step(name, function, inputs):
    start = time.process_time()
    results = [function(value) for value in inputs]
    took[name] = (time.process_time() - start) * 1e6 / len(inputs)
    return results


loaded = step("loads", json.loads, lines)
picked = step("picks", picks, loaded)
datums = step("encode", encode, picked)
records = step("decode", decode, datums)
writer = DataFileWriter(open(out_path, "wb"), DatumWriter(), schema, codec="deflate")
start = time.process_time()
for record in records:
    writer.append(record)
writer.close()
took["append"] = (time.process_time() - start) * 1e6 / len(records)
took["bytes"] = os.path.getsize(out_path) / len(records)
print(json.dumps(took))
