"""BLAKE3 as its specification has it, slowly: what the digests of files are compared with.

https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.1 to 2.6; plain hashing alone.
"""

from __future__ import annotations

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_LANES = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
_START, _END, _PARENT, _ROOT = 1, 2, 4, 8
_MASK = 0xFFFFFFFF


def _turned(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & _MASK


def _compress(chain: tuple[int, ...], block: bytes, counter: int, flags: int) -> tuple[int, ...]:
    words = [int.from_bytes(block[at : at + 4].ljust(4, b"\0"), "little") for at in range(0, 64, 4)]
    state = [*chain, *_IV[:4], counter & _MASK, counter >> 32, len(block), flags]
    for turn in range(7):
        for lane, (a, b, c, d) in enumerate(_LANES):
            for word, (first, second) in ((words[2 * lane], (16, 12)), (words[2 * lane + 1], (8, 7))):
                state[a] = (state[a] + state[b] + word) & _MASK
                state[d] = _turned(state[d] ^ state[a], first)
                state[c] = (state[c] + state[d]) & _MASK
                state[b] = _turned(state[b] ^ state[c], second)
        if turn < 6:
            words = [words[at] for at in _ORDER]
    return tuple(state[at] ^ state[at + 8] for at in range(8))


def _node(data: bytes, first: int, root: int) -> tuple[int, ...]:
    """The chaining value of a run of chunks, of which the first has this number."""
    if len(data) <= 1024:
        chain: tuple[int, ...] = _IV
        blocks = [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
        for at, block in enumerate(blocks):
            last = at == len(blocks) - 1
            flags = (_START if at == 0 else 0) | (_END | root if last else 0)
            chain = _compress(chain, block, first, flags)
        return chain
    left = 1024 << ((len(data) - 1) // 1024).bit_length() - 1
    parts = _node(data[:left], first, 0) + _node(data[left:], first + left // 1024, 0)
    return _compress(_IV, b"".join(word.to_bytes(4, "little") for word in parts), 0, _PARENT | root)


def blake3(data: bytes) -> str:
    """The digest in hexadecimal digits."""
    return b"".join(word.to_bytes(4, "little") for word in _node(data, 0, _ROOT)).hex()
