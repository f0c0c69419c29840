"""Lays words out by amueller/word_cloud with its defaults: {words, width, height, font} on standard
input, {cpu, words: [[index, size, x, y, width, height]]} on standard output."""

import json
import sys
import time

from PIL import Image, ImageDraw, ImageFont
from wordcloud import WordCloud

task = json.load(sys.stdin)
index = {word: at for at, (word, _) in enumerate(task["words"])}
cloud = WordCloud(
    font_path=task["font"],
    width=task["width"],
    height=task["height"],
    max_words=len(index),
    random_state=1,
    margin=0,
)
start = time.process_time()
cloud.generate_from_frequencies(dict(task["words"]))
cpu = time.process_time() - start

pen = ImageDraw.Draw(Image.new("L", (8, 8)))
placed = []
for (word, _), size, (row, column), orientation, _ in cloud.layout_:
    font = ImageFont.truetype(task["font"], size)
    font = ImageFont.TransposedFont(font, orientation=orientation)
    left, top, right, bottom = pen.textbbox((0, 0), word, font=font, anchor="lt")
    placed.append([index[word], *(float(value) for value in (size, column, row, right - left, bottom - top))])
json.dump({"cpu": cpu, "words": placed}, sys.stdout)
