"""What the project must find in tweets, found independently: knows the fields' names and types in the
original's schema and Twitter's rules, nothing of ours.

    extract.py SCHEMA LINES [OUT]     LINES: one message a line, plain or .bz2

Prints, in the order of the lines, the expected records with dots as underscores; the last line tells how
many lines were no tweets (`other`) and how many tweets lack a required field (`dead`).
"""
import bz2
import json
import re
import sys

TWITTER_EPOCH_MS = 1288834974657
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
PARTS = {"t": None, "q": "quoted_status", "r": "retweeted_status"}


def full_text(status):
    """The whole text of a status that is no retweet, which Twitter may have cut to 140 characters."""
    extended = (status.get("extended_tweet") or {}).get("full_text")
    for text in (extended, status.get("full_text"), status.get("text")):
        if text is not None:
            return text
    return None


def timestamp_ms(tweet):
    if tweet.get("timestamp_ms") is not None:
        return tweet["timestamp_ms"]
    return str((tweet["id"] >> 22) + TWITTER_EPOCH_MS)


def value(tweet, field):
    part, _, name = field.partition(".")
    status = tweet if PARTS[part] is None else tweet.get(PARTS[part])
    if status is None:
        return None
    if name.startswith("u."):
        return (status.get("user") or {}).get(name[2:])
    if name == "text":
        # A retweet's own text is cut ("RT @name: …"): the text is that of what it repeats.
        return full_text(status.get("retweeted_status") or status)
    if name == "timestamp_ms":
        return timestamp_ms(status)
    if name == "favourite_count":
        return status.get("favorite_count")
    return status.get(name)


def clean(found):
    return LONE_SURROGATE.sub("\ufffd", found) if isinstance(found, str) else found


def is_tweet(message):
    return isinstance(message, dict) and "id" in message and "user" in message


def main():
    schema, lines = sys.argv[1:3]
    fields = [(field["name"], field["type"]) for field in json.load(open(schema))["fields"]]
    required = [name for name, kind in fields if not isinstance(kind, list)]
    records = dead = other = 0
    for line in (bz2.open if lines.endswith(".bz2") else open)(lines, "rb"):
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not is_tweet(message):
            other += 1
            continue
        record = {name: clean(value(message, name)) for name, _ in fields}
        if any(record[name] is None for name in required):
            dead += 1
            continue
        records += 1
        print(json.dumps({name.replace(".", "_"): found for name, found in record.items()}))
    print(json.dumps({"records": records, "dead": dead, "other": other}))


main()
