# SPDX-License-Identifier: MIT OR Apache-2.0
"""Works on a heap of many small objects, and knows at every moment what each must be.

KTAP on stdout. What an object must be follows from its key and from how often it was
changed, so that nothing it is compared with has been where the object was.
"""

import sys
import zlib

OBJECTS = 1200
ROUNDS = 4


def wanted(key, generation):
    return f"{key}:{generation}:" * (1 + key % 7)


def order(keys, seed):
    """All keys, in an order that follows from the seed."""
    return sorted(keys, key=lambda key: zlib.crc32(b"%d %d" % (key, seed)))


class Heap:
    def __init__(self):
        self.generations = [0] * OBJECTS
        self.objects = {str(key): wanted(key, 0) for key in range(OBJECTS)}

    def wrong(self, seed):
        keys = order(range(OBJECTS), seed)
        return sum(self.objects[str(key)] != wanted(key, self.generations[key]) for key in keys)

    def change(self, seed):
        """Frees every third object and makes others in its place."""
        for key in order(range(seed % 3, OBJECTS, 3), seed):
            del self.objects[str(key)]
            self.generations[key] += 1
            self.objects[str(key)] = wanted(key, self.generations[key])

    def buffers(self, seed):
        """Buffers of many sizes at once, each with a pattern of its own."""
        sizes = [16 + zlib.crc32(b"%d" % (seed * 1000 + i)) % 3000 for i in range(150)]
        buffers = [bytearray(bytes([i % 251 + 1]) * size) for i, size in enumerate(sizes)]
        for i in order(range(0, len(buffers), 2), seed):
            buffers[i] = buffers[i] * 2
        return sum(
            set(buffer) != {i % 251 + 1} or len(buffer) != size * (2 if i % 2 == 0 else 1)
            for i, (buffer, size) in enumerate(zip(buffers, sizes))
        )


def main():
    heap = Heap()
    failed = 0
    print(f"KTAP version 1\n1..{ROUNDS}", flush=True)
    for number in range(1, ROUNDS + 1):
        wrong = heap.wrong(number) + heap.buffers(number)
        heap.change(number)
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} python_{number}", flush=True)
    return bool(failed)


sys.exit(main())
