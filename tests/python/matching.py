"""The ids of the tweets in which Twitter's rules for `track` find a word: in a tweet's text, its expanded and
displayed URLs, its hashtags and the names it mentions, and in those of the tweets that it repeats or quotes.

    matching.py WORD LINES.bz2
"""
import bz2
import json
import re
import sys


def texts(tweet):
    extended = tweet.get("extended_tweet") or {}
    yield tweet.get("text")
    yield extended.get("full_text")
    for entities in (tweet.get("entities"), extended.get("entities")):
        entities = entities or {}
        for link in entities.get("urls", []) + entities.get("media", []):
            yield link.get("expanded_url")
            yield link.get("display_url")
        for tag in entities.get("hashtags", []):
            yield tag["text"]
        for mention in entities.get("user_mentions", []):
            yield mention["screen_name"]
    for inner in ("retweeted_status", "quoted_status"):
        if tweet.get(inner):
            yield from texts(tweet[inner])


word = sys.argv[1].lower()
for line in bz2.open(sys.argv[2]):
    message = json.loads(line)
    if "id" in message and any(word in re.findall(r"\w+", (text or "").lower()) for text in texts(message)):
        print(message["id"])
