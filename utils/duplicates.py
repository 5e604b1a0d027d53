"""Texts that say the same: exact and near duplicates, found by MinHash in NumPy, a million texts in minutes."""

import math
import re
import unicodedata

import numpy as np

WIDTH = 4  # characters in a shingle
BANDS = 24  # a band is a few MinHash values side by side; two texts that agree in one whole band are compared
CHUNK = 4_000  # texts whose shingles are hashed together: their 600,000 numbers fit into the cache of most CPUs


def normalise(text):
    """The text without case, accents' encoding, punctuation and spacing: what stays equal is a duplicate."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).strip()


def shingles(key, width=WIDTH):
    """The set of all runs of `width` characters of a normalised text."""
    return {key[i : i + width] for i in range(max(1, len(key) - width + 1))}


def near_duplicates(texts, threshold=0.8):
    """Pairs (i, j), i < j, of texts that are equal, or whose shingle sets overlap by at least `threshold` (Jaccard index).

    MinHash with banding finds candidates (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets,
    chapter 3), the index itself decides. Equal texts are paired with the first of them, and only that first one
    is compared further; so are texts in a crowd of more than 20 that share a band, with the crowd's first.
    """
    first, pairs = {}, []
    for i, text in enumerate(texts):
        key = normalise(text)
        if key in first:
            pairs.append((first[key], i))
        else:
            first[key] = i
    keys, places = list(first), np.fromiter(first.values(), int, len(first))
    bands, sketch = minhash(keys, rows_for(threshold))
    checked = set()  # a pair may agree in several bands
    for a, b in candidates(bands):
        alike = (sketch[a] == sketch[b]).mean(axis=1) >= threshold - 0.35  # a quick look; 24 values, so a wide margin
        new = set(zip(a[alike].tolist(), b[alike].tolist(), strict=True)) - checked
        checked |= new
        for i, j in new:
            one, two = shingles(keys[i]), shingles(keys[j])
            if len(one & two) >= threshold * len(one | two):
                pairs.append((int(places[i]), int(places[j])))
    return sorted(set(pairs))


def rows_for(threshold):
    """MinHash values in a band: as many as leave a pair at the threshold a chance of one in four to agree in all of them.

    Such a pair escapes all 24 bands once in 400 times. At 0.8 there are 5 or 6 values, and hardly any unlike pair is
    compared; at 0.5 there are 2, and every hundredth is, which is too many beyond some 100,000 texts.
    """
    return max(1, round(math.log(0.25) / math.log(threshold))) if 0 < threshold < 1 else 6


def minhash(keys, rows):
    """Two arrays for n normalised texts: a number per band (n, BANDS), and one value of each band (n, BANDS)."""
    factors = np.random.default_rng(1).integers(1, 2**63, BANDS * rows, dtype=np.uint64) | np.uint64(1)
    bands = np.empty((len(keys), BANDS), np.uint64)
    sketch = np.empty((len(keys), BANDS), np.uint16)
    for start in range(0, len(keys), CHUNK):
        hashes, begins = shingle_hashes(keys[start : start + CHUNK])
        chosen = slice(start, start + len(begins))
        for band in range(BANDS):
            mixed = np.zeros(len(begins), np.uint64)
            for factor in factors[band * rows : (band + 1) * rows]:
                smallest = np.minimum.reduceat(hashes * factor, begins)
                mixed = scramble(mixed ^ smallest)
            bands[chosen, band] = mixed
            sketch[chosen, band] = scramble(smallest) & np.uint64(0xFFFF)
    return bands, sketch


def shingle_hashes(keys):
    """Hashes of all shingles of some texts in one array, and where each text's begin."""
    keys = [key.ljust(WIDTH) for key in keys]
    letters = np.frombuffer("".join(keys).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(letters) - WIDTH + 1 if len(letters) else 0, np.uint64)
    for i in range(WIDTH):
        hashes = scramble(hashes ^ letters[i : i + len(hashes)])
    lengths = np.array([len(key) for key in keys])
    ends = np.cumsum(lengths)
    inside = np.ones(len(hashes), bool)
    for i in range(1, WIDTH):  # runs that would reach into the next text
        inside[ends[:-1] - i] = False
    begins = np.concatenate([[0], np.cumsum(lengths - WIDTH + 1)[:-1]]) if len(keys) else np.zeros(0, int)
    return hashes[inside], begins


def scramble(numbers):
    """Spread 64-bit numbers evenly (the finaliser of SplitMix64); equal stays equal."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
    return numbers ^ (numbers >> np.uint64(27))


def candidates(bands, crowd=20):
    """Batches of pairs (rows a, rows b) that agree in a band; a pair may come more than once."""
    for column in bands.T:
        order = np.argsort(column, kind="stable")
        same = column[order[1:]] == column[order[:-1]]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        starts, sizes = edges[::2], edges[1::2] - edges[::2] + 1
        for step in range(1, min(crowd, sizes.max(initial=1))):  # all pairs of a small bucket: neighbours 1, 2, … apart
            place = np.concatenate([np.arange(s, s + n - step) for s, n in zip(starts, sizes, strict=True) if step < n <= crowd] or [[]])
            place = place.astype(int)
            if len(place):
                yield order[place], order[place + step]
        for s, n in zip(starts, sizes, strict=True):
            if n > crowd:
                yield np.full(n - 1, order[s]), order[s + 1 : s + n]
