"""Other people's codes, each with the settings its authors or FAISS's documentation recommend.

* sign random projection: signs of centred Gaussian projections (Charikar 2002), scanned by us;
* spectral hashing (Weiss, Torralba and Fergus 2008), written here, scanned by us;
* FAISS (faiss-cpu): LSH (random rotation, thresholds at the medians), ITQ, product quantisation
  with 8-bit sub-quantisers (PQ), the same after an optimised rotation (OPQ), residual quantisers
  (RQ: sums of points, each the nearest to what the ones before left), scalar quantisers after a
  random rotation (SQ), RaBitQ after a random rotation.

PQ, OPQ, RQ, SQ and RaBitQ compare a real-valued query with stored codes, as FAISS does by default;
OPQ and RQ are also tried with codes on both sides.
Every method answers with all distances of the queries to the database.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import MissingExtra
from isohash.index.flat import distances
from isohash.records import Codes

TRAINED_ON = 10_000  # rows: FAISS asks for 39 per centroid of 8-bit sub-quantisers
# "np" in a factory string leaves out polysemous training, which serves a filter that we do not use.
LARGEST_RQ = 128  # bits: training takes time with the square of their number
ALTERNATIONS = 10  # of OPQ between rotation and quantisers; FAISS's default is 50

Float = NDArray[np.float32]
Distances = Callable[[Float, Float, int], NDArray[Any]]  # (database, queries, seed) -> (m, n)


@dataclass(frozen=True)
class Trial:
    """One family at one length. `asymmetric`: real-valued queries against stored codes.

    `stored_bits` is what an item takes with everything that its distances need.
    """

    family: str
    bits: int
    stored_bits: int
    asymmetric: bool
    measure: Distances


def baselines(bits: int, dim: int) -> Iterator[Trial]:
    """The baselines that exist at this many bits and dimensions."""
    yield Trial("sign random projection", bits, bits, False, _scanned(sign_projection, bits))
    yield Trial("spectral hashing", bits, bits, False, _scanned(spectral, bits))
    yield Trial(
        "FAISS LSH", bits, bits, False, _faiss(lambda d, f: f.IndexLSH(d, bits, True, True))
    )
    if bits <= dim:
        yield Trial("FAISS ITQ", bits, bits, False, _factory(f"ITQ{bits},LSH"))
    parts = bits // 8
    if 2 * parts <= dim:  # with fewer than two dimensions each they are scalar quantisers
        axes = dim - dim % parts
        yield Trial("FAISS PQ", bits, bits, True, _quantised(axes, parts))
        rotated = _optimised(axes, parts)
        yield Trial("FAISS OPQ", bits, bits, False, rotated.from_codes)
        yield Trial("FAISS OPQ", bits, bits, True, rotated.from_vectors)
    if bits <= LARGEST_RQ:
        residual = _residual(parts)
        yield Trial("FAISS RQ", bits, bits, False, residual.from_codes)
        yield Trial("FAISS RQ", bits, bits, True, residual.from_vectors)
    yield from _scalar(bits, dim)
    yield from _rabitq(bits, dim)


def _scalar(bits: int, dim: int) -> Iterator[Trial]:
    """FAISS's scalar quantisers of 4 or 8 bits, on as many principal axes as fit."""
    for width in (4, 8):
        axes = bits // width
        if dim // 2 < axes <= dim:
            name = f"FAISS SQ{width}"
            yield Trial(name, bits, bits, True, _factory(f"PCAR{axes},SQ{width}"))


def _rabitq(bits: int, dim: int) -> Iterator[Trial]:
    """RaBitQ of as many bits per dimension as this length gives; its factors come on top."""
    per_axis, rest = divmod(bits, dim)
    if rest or not 1 <= per_axis <= 9:
        return
    extra = 64 if per_axis == 1 else 160  # factors of IndexRaBitQ's codes
    suffix = "" if per_axis == 1 else str(per_axis)
    yield Trial("FAISS RaBitQ", bits, bits + extra, True, _factory(f"RR{dim},RaBitQ{suffix}"))


def _scanned(encoder: Callable[[Float, int, int], Any], bits: int) -> Distances:
    def measure(base: Float, query: Float, seed: int) -> NDArray[Any]:
        encode = encoder(base, bits, seed)
        return distances(encode(query), encode(base))

    return measure


def sign_projection(base: Float, bits: int, seed: int) -> Callable[[Float], Codes]:
    """Signs of Gaussian projections of the centred rows."""
    directions = np.random.default_rng(seed).standard_normal((base.shape[1], bits))
    center = base.mean(axis=0, dtype=np.float64)
    return lambda X: _packed((X - center) @ directions > 0)


def spectral(base: Float, bits: int, seed: int) -> Callable[[Float], Codes]:
    """Signs of the smoothest eigenfunctions of a uniform distribution on the principal axes.

    Axis i of range r_i has the modes sin(pi/2 + m pi x / r_i), m = 1, 2, ..., ordered by m / r_i;
    the `bits` smoothest of all axes are taken. Nothing in it is random.
    """
    center = base.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(np.cov((base - center).T))
    axes = vectors[:, ::-1][:, : min(bits, base.shape[1])]
    projected = (base - center) @ axes
    low, reach = projected.min(axis=0), np.ptp(projected, axis=0)
    modes = np.arange(1, bits + 1)[:, None] / np.maximum(reach, 1e-12)
    chosen = np.argsort(modes, axis=None, kind="stable")[:bits]
    frequency, axis = modes.ravel()[chosen], chosen % axes.shape[1]

    def encode(X: Float) -> Codes:
        x = ((X - center) @ axes - low)[:, axis]
        return _packed(np.sin(math.pi / 2 + math.pi * frequency * x) > 0)

    return encode


def _packed(bits: NDArray[np.bool_]) -> Codes:
    return Codes(np.packbits(bits, axis=1), bits.shape[1])


def _factory(name: str) -> Distances:
    return _faiss(lambda dim, faiss: faiss.index_factory(dim, name))


def _quantised(axes: int, parts: int) -> Distances:
    """Product quantisation of the leading axes, all of them where `parts` divides them."""

    def make(dim: int, faiss: Any) -> Any:
        reduced = "" if axes == dim else f"PCAR{axes},"
        index = faiss.index_factory(dim, f"{reduced}PQ{parts}x8np")
        _accept_few_rows(_inner(index, faiss).pq)
        return index

    return _faiss(make)


def _optimised(axes: int, parts: int) -> _Fitted:
    """Product quantisation after a rotation that is optimised in turn with the quantisers."""
    borrowed: list[Any] = []

    def make(dim: int, faiss: Any) -> Any:
        index = faiss.index_factory(dim, f"OPQ{parts}_{axes},PQ{parts}x8np")
        rotation = faiss.downcast_VectorTransform(index.chain.at(0))
        rotation.niter, rotation.niter_pq_0 = ALTERNATIONS, ALTERNATIONS
        borrowed.append(faiss.ProductQuantizer(axes, parts, 8))  # FAISS keeps a bare pointer
        rotation.pq = borrowed[-1]
        for quantiser in (rotation.pq, _inner(index, faiss).pq):
            _accept_few_rows(quantiser)
        return index

    return _Fitted(make)


def _residual(parts: int) -> _Fitted:
    """Residual quantisers of 8 bits each; no norms are stored beside them."""

    def make(dim: int, faiss: Any) -> Any:
        index = faiss.IndexResidualQuantizer(dim, parts, 8)
        _accept_few_rows(index.rq)
        return index

    return _Fitted(make)


def _inner(index: Any, faiss: Any) -> Any:
    whole = faiss.downcast_index(index)
    return faiss.downcast_index(whole.index) if hasattr(whole, "chain") else whole


def _accept_few_rows(quantiser: Any) -> None:
    """No warning on stderr for a database of fewer than 39 rows per centroid."""
    quantiser.cp.min_points_per_centroid = 1


def _faiss(make: Callable[[int, Any], Any]) -> Distances:
    return _Fitted(make).from_vectors


class _Fitted:
    """A FAISS index, trained once for both ways of asking it."""

    def __init__(self, make: Callable[[int, Any], Any]) -> None:
        self._make = make
        self._index: Any = None

    def from_vectors(self, base: Float, query: Float, seed: int) -> NDArray[np.float32]:
        """All distances that the index gives: it is asked for as many results as it holds."""
        found, ids = self._trained(base, seed).search(query, len(base))
        whole = np.full(found.shape, np.inf, dtype=np.float32)
        np.put_along_axis(whole, ids, found, axis=1)
        return whole

    def from_codes(self, base: Float, query: Float, seed: int) -> NDArray[np.float32]:
        """The same with the queries' codes: what is stored of them is decoded again."""
        index = self._trained(base, seed)
        return self.from_vectors(base, index.sa_decode(index.sa_encode(query)), seed)

    def _trained(self, base: Float, seed: int) -> Any:
        if self._index is None:
            try:
                import faiss
            except ImportError as error:
                raise MissingExtra("bench", "comparing with FAISS") from error
            rows = np.random.default_rng(seed).permutation(len(base))[:TRAINED_ON]
            index = self._make(base.shape[1], faiss)
            index.train(np.ascontiguousarray(base[np.sort(rows)]))
            index.add(base)
            self._index = index
        return self._index
