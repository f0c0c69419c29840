"""A client as the original was: tweepy 3.10.0 on a server's v1.1 stream, over HTTPS, until the server ends it.

    stream_tweepy.py HOST:PORT CA_FILE KEY SECRET TOKEN TOKEN_SECRET [TRACK...]

Prints each message as it came, one a line; without TRACK it takes the sample stream.
"""
import json
import sys

import tweepy


class Printer(tweepy.StreamListener):
    def on_data(self, raw_data):
        # On one line, whatever the message holds.
        print(json.dumps(raw_data))

    def on_error(self, status_code):
        print(f"HTTP status {status_code}", file=sys.stderr)
        return False

    def on_closed(self, resp):
        stream.disconnect()


address, ca_file, key, secret, token, token_secret, *track = sys.argv[1:]
auth = tweepy.OAuthHandler(key, secret)
auth.set_access_token(token, token_secret)
stream = tweepy.Stream(auth, Printer(), host=address, verify=ca_file)
if track:
    stream.filter(track=track)
else:
    stream.sample()
