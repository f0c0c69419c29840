"""Looks at a broker from outside, with confluent-kafka.

    broker.py BROKERS create TOPIC PARTITIONS
    broker.py BROKERS produce TOPIC          values from standard input, one a line
    broker.py BROKERS read TOPIC             all of it, as it is now
    broker.py BROKERS follow TOPIC SECONDS   from the beginning, until that long went by without one

Prints one JSON object a record: partition, offset, key, value (base64), headers, timestamp.
"""
import base64
import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def show(message):
    print(json.dumps({
        "partition": message.partition(),
        "offset": message.offset(),
        "key": text(message.key()),
        "value": text(message.value()),
        "headers": {name: text(value) for name, value in message.headers() or []},
        "timestamp": message.timestamp()[1],
    }))


def consumer(brokers):
    return Consumer({
        "bootstrap.servers": brokers,
        "group.id": "looks-on",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # The embedded broker answers an empty fetch only when this time is over.
        "fetch.wait.max.ms": 10,
        # One that goes away is no news here.
        "log_level": 0,
    })


def partitions(client, topic):
    known = client.list_topics(topic, timeout=30).topics[topic]
    if known.error is not None:
        sys.exit(str(known.error))
    return [TopicPartition(topic, number, 0) for number in sorted(known.partitions)]


def read(brokers, topic):
    client = consumer(brokers)
    for part in partitions(client, topic):
        low, high = client.get_watermark_offsets(part, timeout=30)
        client.assign([TopicPartition(topic, part.partition, low)])
        position = low
        while position < high:
            message = client.poll(30)
            if message is None:
                sys.exit(f"{topic}/{part.partition}: nothing between {position} and {high}")
            if message.error() is not None:
                sys.exit(str(message.error()))
            show(message)
            position = message.offset() + 1
    client.close()


def follow(brokers, topic, seconds):
    client = consumer(brokers)
    client.assign(partitions(client, topic))
    while (message := client.poll(seconds)) is not None:
        if message.error() is None:
            show(message)


def main():
    brokers, verb, topic, *rest = sys.argv[1:]
    if verb == "create":
        admin = AdminClient({"bootstrap.servers": brokers})
        for made in admin.create_topics([NewTopic(topic, int(rest[0]), 1)]).values():
            made.result(30)
    elif verb == "produce":
        producer = Producer({"bootstrap.servers": brokers})
        for line in sys.stdin.buffer:
            producer.produce(topic, line.rstrip(b"\n"))
        if producer.flush(30):
            sys.exit("not delivered")
    elif verb == "read":
        read(brokers, topic)
    elif verb == "follow":
        follow(brokers, topic, float(rest[0]))
    else:
        sys.exit(__doc__)


main()
