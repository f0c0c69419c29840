"""A client as the original was: tweepy 3.10.0 on a server's v1.1 stream, over HTTPS, until the server ends it.

    stream_tweepy.py HOST:PORT CA_FILE KEY SECRET TOKEN TOKEN_SECRET [TRACK...]

Prints each message as it came, one a line; without TRACK it takes the sample stream.
"""
import json
import sys

import requests
import tweepy


class Printer(tweepy.StreamListener):
    received = 0

    def on_data(self, raw_data):
        self.received += 1
        # On one line, whatever the message holds.
        print(json.dumps(raw_data))

    def on_error(self, status_code):
        print(f"HTTP status {status_code}", file=sys.stderr)
        return False


address, ca_file, key, secret, token, token_secret, *track = sys.argv[1:]
auth = tweepy.OAuthHandler(key, secret)
auth.set_access_token(token, token_secret)
printer = Printer()
stream = tweepy.Stream(auth, printer, host=address, verify=ca_file)
try:
    if track:
        stream.filter(track=track)
    else:
        stream.sample()
except requests.ConnectionError:
    # When a stream ends tweepy connects again, and by then the server may be gone.
    if not printer.received:
        raise
