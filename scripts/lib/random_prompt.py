"""The prompts that peers are measured with."""

import random


def prompt(count: int, vocabulary: int, seed: int = 1) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(vocabulary) for _ in range(count)]
