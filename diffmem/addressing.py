"""Where to read and write: free functions that turn keys, gates and past weights into weights over slots.

Nothing here knows a memory. Every function takes one sequence and one time step; `jax.vmap` is the batch.

Shape legend, used in the whole library:
    B batch    T time    N slots    H heads    W width of a slot    K key size    V value size    D feature size

`weights` are distributions over slots [H, N]; `strength` sharpens a softmax before it is taken; a `gate` is in 0..1.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int

from diffmem.base import Array, check_choice, check_counts

# Squared norms get this much added: a slot may be all zero, and the gradient there must stay finite.
NORM_EPSILON = 1e-8
# Added to the squared norm that a key is divided by: small enough to leave its length at 1, large enough to square in float32.
UNIT_EPSILON = 1e-12
# What `cosine` adds: to the squared norms, and to their product.
EPSILONS = {
    "smooth": (NORM_EPSILON, 0.0),
    "doubled": (1e-6, 1e-6),
    "clamped": (0.0, 0.0),  # a maximum instead
    "product": (0.0, 1e-8),
    "coarse": (0.0, 1e-6),
}


def log(weights: Array) -> Array:
    """The logarithm, cut off at the smallest normal number: a weight of zero gets a finite value and no gradient."""
    smallest = jnp.finfo(weights.dtype).tiny
    # The inner `where` keeps 1 / 0 out of the gradient, which the outer one alone would turn into 0 * inf.
    return jnp.where(weights > smallest, jnp.log(jnp.where(weights > smallest, weights, 1)), jnp.log(smallest))


def cosine(
    keys: Float[Array, "H W"], slots: Float[Array, "N W"], *, mask: Float[Array, "H W"] | None = None, epsilon: str = "smooth"
) -> Float[Array, "H N"]:
    """Cosine similarity of every key with every slot, safe where either is zero.

    epsilon="smooth":   k.m / (sqrt(|k|^2 + 1e-8) sqrt(|m|^2 + 1e-8))     finite gradients everywhere; the default
    epsilon="doubled":  k.m / (sqrt(|k|^2 + 1e-6) sqrt(|m|^2 + 1e-6) + 1e-6)    as DeepMind's DNC
    epsilon="clamped":  k.m / (max(|k|, 1e-8) max(|m|, 1e-8)), each + 1e-16 first    as common PyTorch ports
    epsilon="product":  k.m / (|k| |m| + 1e-8), no gradient at zero       as common TensorFlow ports
    epsilon="coarse":   k.m / (|k| |m| + 1e-6), no gradient at zero       as a PyTorch port of the DNC

    The choice shows only at slots of about the epsilon's size, such as a memory that starts at 1e-6.

    Args:
        keys: what to look for.
        slots: the memory.
        mask: if given, how much each component counts, 0..1: key and slots are multiplied by it first.
        epsilon: which of the formulas.

    Raises:
        ValueError: an unknown epsilon.

    Source: Graves et al. 2014, equation 6; the mask is that of Csordas & Schmidhuber 2019, section 3.1.
    """
    if epsilon not in EPSILONS:
        raise ValueError(f"epsilon is {epsilon!r}; legal: {', '.join(map(repr, EPSILONS))}")
    if epsilon == "clamped":
        keys, slots = keys + 1e-16, slots + 1e-16
    if mask is None:
        squared_slots = jnp.sum(slots * slots, -1)
    else:
        squared_slots = jnp.einsum("hw,nw->hn", mask * mask, slots * slots)
        keys = keys * mask
    squared_keys = jnp.sum(keys * keys, -1)[:, None]
    dots = jnp.einsum("hw,nw->hn", keys if mask is None else keys * mask, slots)
    if epsilon == "clamped":
        # The inner maximum keeps sqrt away from 0, where its gradient is infinite.
        norms = [jnp.sqrt(jnp.maximum(squared, 1e-16)) for squared in (squared_keys, squared_slots)]
        return dots / (norms[0] * norms[1])
    inside, outside = EPSILONS[epsilon]
    if not outside:
        return dots * lax.rsqrt(squared_keys + inside) * lax.rsqrt(squared_slots + inside)
    return dots / (jnp.sqrt(squared_keys + inside) * jnp.sqrt(squared_slots + inside) + outside)


def content(
    keys: Float[Array, "H W"],
    slots: Float[Array, "N W"],
    strength: Float[Array, "H"],
    *,
    mask: Float[Array, "H W"] | None = None,
    epsilon: str = "smooth",
) -> Float[Array, "H N"]:
    """Looks slots up by content: w_c[n] = softmax_n(strength * cosine(key, slot_n)).

    Args:
        keys: what to look for.
        slots: the memory.
        strength: >= 0; 0 gives uniform weights, infinity would select the nearest slot.
        mask: see `cosine`.
        epsilon: see `cosine`.

    Returns:
        Weights that sum to one over the slots.

    Source: Graves et al. 2014, equation 5.
    """
    return jax.nn.softmax(strength[:, None] * cosine(keys, slots, mask=mask, epsilon=epsilon), axis=-1)


def attention(
    queries: Float[Array, "R H K"], keys: Float[Array, "N H K"], mask: Bool[Array, "*rows N"] | None = None
) -> Float[Array, "H R N"]:
    """Scaled dot-product attention of R rows to N others, by heads: w[h, r, n] = softmax_n(q_rh . k_nh / sqrt(K)).

    Args:
        queries: what each row looks for.
        keys: what each other row is found by.
        mask: which of the others take part, the same ones for all rows [N] or each row's own [R, N]; None: all.

    Returns:
        Weights that sum to one over the last axis; zeros where nobody takes part.

    Source: Vaswani et al. 2017, equation 1.
    """
    logits = jnp.einsum("rhk,nhk->hrn", queries * queries.shape[-1] ** -0.5, keys)
    return jax.nn.softmax(logits) if mask is None else masked_softmax(logits, jnp.broadcast_to(mask, logits.shape))


def interpolate(weights: Float[Array, "H N"], previous: Float[Array, "H N"], gate: Float[Array, "H"]) -> Float[Array, "H N"]:
    """w_g = gate * weights + (1 - gate) * previous: gate 0 ignores the content, gate 1 forgets where the head was.

    Source: Graves et al. 2014, equation 7.
    """
    gate = gate[:, None]
    return gate * weights + (1 - gate) * previous


def offsets(taps: int) -> range:
    """The moves that a shift kernel of this many taps stands for, in the kernel's order: -r, .., 0, .., +r."""
    return range(-(taps // 2), taps // 2 + 1)


def shift(weights: Float[Array, "H N"], kernel: Float[Array, "H taps"]) -> Float[Array, "H N"]:
    """Moves the focus along the slots, a circular convolution: w~[n] = sum_j kernel[j] weights[n - offset_j].

    Args:
        weights: where the head is.
        kernel: a distribution over the moves -r, .., 0, .., +r in that order; an odd number of taps, at most N.
            All mass on the last tap of three moves the focus to the next higher slot.

    Raises:
        ValueError: an even number of taps, or more taps than slots.

    Source: Graves et al. 2014, equation 8.
    """
    taps, slots = kernel.shape[-1], weights.shape[-1]
    if taps % 2 == 0 or taps > slots:
        raise ValueError(f"the shift kernel has {taps} taps over {slots} slots; legal: an odd number of at most {slots}")
    moves = offsets(taps)
    shifted = [kernel[:, j : j + 1] * jnp.roll(weights, move, axis=-1) for j, move in enumerate(moves)]
    return sum(shifted[1:], start=shifted[0])


def sharpen(weights: Float[Array, "H N"], gamma: Float[Array, "H"], *, epsilon: float = 0.0) -> Float[Array, "H N"]:
    """w[n] = weights[n]^gamma / (sum_m weights[m]^gamma + epsilon), taken in logarithms.

    In logarithms nothing overflows, nothing divides by zero and the gradient is finite for gamma >= 1, however large
    gamma is and however many weights are exactly zero. The input need not sum to one; the output does, and is uniform
    where all weights are zero.

    An epsilon is only for parity with implementations that divide by sum + epsilon: there, flat weights and a large
    gamma give an output that sums to less than one.

    Source: Graves et al. 2014, equation 9.
    """
    logits = gamma[:, None] * log(weights)
    if epsilon:
        powers = jnp.exp(logits)
        return powers / (jnp.sum(powers, -1, keepdims=True) + epsilon)
    return jax.nn.softmax(logits, axis=-1)


def masked_softmax(
    logits: Float[Array, "*batch N"], mask: Bool[Array, "*batch N"], *, zeros: int = 0
) -> Float[Array, "*batch N"]:
    """A softmax over the places where mask is True; the others get exactly 0, and all get 0 where there is none.

    What stands in a masked place reaches neither the value nor the gradient, not even a NaN.

    Args:
        logits: what to compare.
        mask: who takes part.
        zeros: so many further places with a logit of 0 take their share, which is left out of the result.
    """
    top = jnp.max(jnp.where(mask, logits, -jnp.inf), -1, keepdims=True)
    top = lax.stop_gradient(jnp.maximum(top, 0) if zeros else jnp.where(top > -jnp.inf, top, 0))
    powers = jnp.where(mask, jnp.exp(jnp.where(mask, logits - top, 0)), 0)
    total = jnp.sum(powers, -1, keepdims=True) + (zeros * jnp.exp(-top) if zeros else 0)
    return powers / jnp.where(total > 0, total, 1)


POSITIONS = ("memn2n", "paper", "dmnplus")


def position_factors(length: int, width: int, kind: str = "memn2n") -> tuple[Array, Array]:
    """The position encoding of a sentence's words in factors: pe[j, i] = words[j, 0] + words[j, 1] * features[i].

    The encoding has rank two, so that a sentence's encoding sum_j pe[j] * E[word_j] needs only two bags of words: with
    a = sum_j words[j, 0] onehot_j and b = sum_j words[j, 1] onehot_j it is a E + features * (b E).

    kind="memn2n":   pe = 1 + 4 (i - (W+1)/2) (j - (J+1)/2) / (W J), as in the authors' code; i, j from 1
    kind="paper":    pe = (1 - j/J) - (i/W) (1 - 2 j/J), as printed; i, j from 1
    kind="dmnplus":  the same with i, j from 0, W - 1 and J - 1: as in a common port of DMN+

    Args:
        length: J, positions in a (padded) sentence.
        width: W, the embedding's size.
        kind: which formula.

    Returns:
        words [J, 2] and features [W].

    Raises:
        ValueError: an unknown kind.

    Source: Sukhbaatar et al. 2015, section 4.1; Xiong et al. 2016, section 3.1.
    """
    if kind not in POSITIONS:
        raise ValueError(f"kind is {kind!r}; legal: {', '.join(map(repr, POSITIONS))}")
    j, i = jnp.arange(1.0, length + 1), jnp.arange(1.0, width + 1)
    if kind == "memn2n":
        words = jnp.stack([jnp.ones(length), (j - (length + 1) / 2) / length], -1)
        return words, 4 * (i - (width + 1) / 2) / width
    place = j / length if kind == "paper" else (j - 1) / max(length - 1, 1)
    feature = i / width if kind == "paper" else (i - 1) / max(width - 1, 1)
    return jnp.stack([1 - place, 2 * place - 1], -1), feature


def position_encoding(length: int, width: int, kind: str = "memn2n") -> Float[Array, "J W"]:
    """The position encoding as a matrix [J, W]; see `position_factors` for the formulas and arguments."""
    words, features = position_factors(length, width, kind)
    return words[:, :1] + words[:, 1:] * features


FEATURE_MAPS = ("identity", "elu", "dpfp")


def features(x: Float[Array, "*batch D"], kind: str, rolls: int = 1) -> Float[Array, "*batch F"]:
    """A feature map by name: x itself, `elu1` or `dpfp`; `feature_size` says how large the result is.

    Raises:
        ValueError: an unknown name.
    """
    if kind not in FEATURE_MAPS:
        raise ValueError(f"kind is {kind!r}; legal: {', '.join(map(repr, FEATURE_MAPS))}")
    return {"identity": lambda: x, "elu": lambda: elu1(x), "dpfp": lambda: dpfp(x, rolls)}[kind]()


def feature_size(size: int, kind: str, rolls: int = 1) -> int:
    """How many features `features` makes of a vector of this size."""
    return 2 * rolls * size if kind == "dpfp" else size


def check_features(config) -> None:
    """Raises ValueError unless config.feature_map is known and config.rolls fits config.key_size."""
    check_choice(config, "feature_map", FEATURE_MAPS)
    check_counts(config, rolls=config.rolls)
    if config.rolls >= 2 * config.key_size:
        raise ValueError(
            f"{type(config).__name__}.rolls is {config.rolls}; legal: 1 to {2 * config.key_size - 1}, less than twice key_size"
        )


def elu1(x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """The positive feature map phi(x) = elu(x) + 1, which is e^x below zero and x + 1 above.

    Written in these two parts it stays positive where 1 would swallow elu(x).

    Source: Katharopoulos et al. 2020, equation 7.
    """
    return jnp.exp(jnp.minimum(x, 0)) + jnp.maximum(x, 0)


def dpfp(x: Float[Array, "*batch D"], rolls: int = 1) -> Float[Array, "*batch F"]:
    """Deterministic parameter-free projection: sparse features, none negative, in 2 nu D dimensions.

    y = [relu(x), relu(-x)],  phi(x) = [y * roll(y, 1), .., y * roll(y, nu)],  roll(y, i)[j] = y[j - i]

    Args:
        x: a key or a query.
        rolls: nu, at least 1 and less than 2 D.

    Raises:
        ValueError: another number of rolls.

    Source: Schlag et al. 2021, equations 37 and 38.
    """
    if not 1 <= rolls < 2 * x.shape[-1]:
        raise ValueError(f"rolls is {rolls} for vectors of size {x.shape[-1]}; legal: 1 to {2 * x.shape[-1] - 1}")
    y = jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], -1)
    return jnp.concatenate([y * jnp.roll(y, i, -1) for i in range(1, rolls + 1)], -1)


def unit(x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """Scales to length 1: x / sqrt(|x|^2 + 1e-12), which is zero for a zero vector and has a finite gradient there."""
    return x * lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + UNIT_EPSILON)


def share(x: Float[Array, "*batch D"], epsilon: float = 0.0) -> Float[Array, "*batch D"]:
    """Scales features that are not negative to a sum of 1: x / (sum x + epsilon), and zero where all of them are zero.

    Source: Schlag et al. 2021, section 4.3, "sum normalisation".
    """
    total = jnp.sum(x, -1, keepdims=True) + epsilon
    return x / jnp.where(total > 0, total, 1)


def product_keys(
    query: Float[Array, "*batch K"], sub_keys1: Float[Array, "n half"], sub_keys2: Float[Array, "m half"], k: int
) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
    """The k best of n m keys in the time of n + m: slot i m + j has the key [sub_keys1[i], sub_keys2[j]].

    score[i m + j] = q_1 . sub_keys1[i] + q_2 . sub_keys2[j],  q_1 and q_2 the halves of the query

    Exact: who is among the k best sums has both parts among the k best of their half. For keys that are parameters; what a
    memory has written does not factor, and is found by `sparse.hash_codes`.

    Args:
        query: what to look for; K is even.
        sub_keys1: first halves of the keys.
        sub_keys2: second halves.
        k: how many, at most n m.

    Returns:
        The scores, the largest first, with a gradient, and the numbers of the slots, int32.

    Raises:
        ValueError: halves that do not fit the query, or more results than keys.

    Source: Lample et al. 2019, section 3.1.
    """
    n, m = sub_keys1.shape[0], sub_keys2.shape[0]
    if not query.shape[-1] == 2 * sub_keys1.shape[-1] == 2 * sub_keys2.shape[-1]:
        halves = f"{sub_keys1.shape[-1]} and {sub_keys2.shape[-1]}"
        raise ValueError(f"query has size {query.shape[-1]}, and the halves of keys {halves}; legal: halves of half its size")
    if not 1 <= k <= n * m:
        raise ValueError(f"k is {k} of {n} x {m} keys; legal: 1..{n * m}")
    first, second = jnp.split(query, 2, axis=-1)
    scores1, places1 = lax.top_k(first @ sub_keys1.T, min(k, n))
    scores2, places2 = lax.top_k(second @ sub_keys2.T, min(k, m))
    sums = scores1[..., :, None] + scores2[..., None, :]
    numbers = places1[..., :, None] * m + places2[..., None, :]
    flat = (*query.shape[:-1], -1)
    best, at = lax.top_k(sums.reshape(flat), k)
    return best, jnp.take_along_axis(numbers.reshape(flat), at, axis=-1)
