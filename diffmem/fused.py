"""The hot operations of the NTM, the DNC, plastic networks and the delta rule with hand-written backward passes.

Why they exist: on a CPU the automatic backward pass of the NTM's addressing chain stores and re-reads about ten arrays of the
memory's size at every step, and that of the DNC's links several of N x N. Written by hand it needs them once, and the whole
train step becomes several times faster (`python -m experiments.bench ntm dnc` measures it against plain autodiff in the same
run). That of a Hebbian trace becomes faster by a third, and that of a chunk of the delta rule by a quarter. The tests hold each
function to its readable counterpart, in `addressing`, `edits`, `allocation` or beside the test, in values and gradients.

The NTM's slots are WIDTH-MAJOR here, [W, N]: the long axis lies contiguous, so that loops over the slots vectorise.

These functions can be differentiated in reverse mode any number of times, but not in forward mode (`jax.jvp`).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from diffmem import addressing, allocation
from diffmem.addressing import NORM_EPSILON, interpolate, log, offsets, shift
from diffmem.base import Array


def _sum(x: Array) -> Array:
    return jnp.sum(x, -1, keepdims=True)


def _focus_forward(slots, previous, keys, strength, gate, kernel, gamma):
    inverse_keys = lax.rsqrt(_sum(keys * keys) + NORM_EPSILON)
    inverse_slots = lax.rsqrt(jnp.sum(slots * slots, 0) + NORM_EPSILON)
    similarity = jnp.einsum("hw,wn->hn", keys, slots) * inverse_slots * inverse_keys
    by_content = jax.nn.softmax(strength[:, None] * similarity, axis=-1)
    shifted = shift(interpolate(by_content, previous, gate), kernel)
    weights = addressing.sharpen(shifted, gamma)
    saved = (slots, previous, keys, strength, gate, kernel, gamma)
    return weights, (saved, inverse_keys, inverse_slots, similarity, by_content, shifted, weights)


@jax.custom_vjp
def focus(
    slots: Float[Array, "W N"],
    previous: Float[Array, "H N"],
    keys: Float[Array, "H W"],
    strength: Float[Array, "H"],
    gate: Float[Array, "H"],
    kernel: Float[Array, "H taps"],
    gamma: Float[Array, "H"],
) -> Float[Array, "H N"]:
    """The NTM's whole addressing chain: content -> interpolate -> shift -> sharpen.

    Equal to sharpen(shift(interpolate(content(keys, slots.T, strength), previous, gate), kernel), gamma).

    Source: Graves et al. 2014, equations 5 to 9.
    """
    return _focus_forward(slots, previous, keys, strength, gate, kernel, gamma)[0]


def _focus_backward(residuals, d_weights):
    saved, inverse_keys, inverse_slots, similarity, by_content, shifted, weights = residuals
    slots, previous, keys, strength, gate, kernel, gamma = saved
    strength, gate, gamma = strength[:, None], gate[:, None], gamma[:, None]

    # Sharpen: weights = softmax(gamma log(shifted)), where `log` is cut off near zero and has no gradient there.
    d_logits = weights * (d_weights - _sum(weights * d_weights))
    d_gamma = _sum(d_logits * log(shifted))
    alive = shifted > jnp.finfo(shifted.dtype).tiny
    d_shifted = jnp.where(alive, gamma * d_logits / jnp.where(alive, shifted, 1), 0)

    # Shift: shifted = sum_j kernel_j roll(gated, move_j).
    moves = offsets(kernel.shape[-1])
    gated = gate * by_content + (1 - gate) * previous
    d_kernel = jnp.concatenate([_sum(d_shifted * jnp.roll(gated, move, -1)) for move in moves], -1)
    d_gated = sum(kernel[:, j : j + 1] * jnp.roll(d_shifted, -move, -1) for j, move in enumerate(moves))

    # Interpolate.
    d_gate = _sum(d_gated * (by_content - previous))
    d_previous = (1 - gate) * d_gated
    d_content = gate * d_gated

    # Content: by_content = softmax(strength * similarity), similarity = dots * inverse_keys * inverse_slots.
    d_logits = by_content * (d_content - _sum(by_content * d_content))
    d_strength = _sum(d_logits * similarity)
    d_similarity = strength * d_logits
    d_dots = d_similarity * inverse_slots * inverse_keys
    # The norms' share: d similarity / d slot_n = .. - similarity * slot_n / |slot_n|^2, and alike for the keys.
    turn = d_similarity * similarity
    d_slots = jnp.einsum("hw,hn->wn", keys, d_dots) - slots * (jnp.sum(turn, 0) * inverse_slots**2)
    d_keys = jnp.einsum("hn,wn->hw", d_dots, slots) - keys * (_sum(turn) * inverse_keys**2)
    return d_slots, d_previous, d_keys, d_strength[:, 0], d_gate[:, 0], d_kernel, d_gamma[:, 0]


focus.defvjp(_focus_forward, _focus_backward)


@jax.custom_vjp
def erase_add(
    slots: Float[Array, "W N"], weights: Float[Array, "N"], erase: Float[Array, "W"], add: Float[Array, "W"]
) -> Float[Array, "W N"]:
    """`edits.erase_add` for width-major slots: M <- M * (1 - erase w^T) + add w^T."""
    return slots - slots * (erase[:, None] * weights) + add[:, None] * weights


def _erase_add_backward(saved, d_slots):
    slots, weights, erase, add = saved
    overlap = slots * d_slots
    return (
        d_slots - d_slots * (erase[:, None] * weights),
        add @ d_slots - erase @ overlap,
        -(overlap @ weights),
        d_slots @ weights,
    )


erase_add.defvjp(lambda *saved: (erase_add(*saved), saved), _erase_add_backward)


def _relink_forward(links, weights, precedence, reading):
    linked = allocation.link(links, weights, precedence)
    backward, forward = allocation.follow(linked[None], reading)
    # 1 - w is kept beside w: XLA makes slow loops where it cuts rows and columns out of the same stack of vectors.
    return (linked, backward[:, 0], forward[:, 0]), (links, weights, 1 - weights, precedence, reading)


@jax.custom_vjp
def relink(
    links: Float[Array, "N N"], weights: Float[Array, "N"], precedence: Float[Array, "N"], reading: Float[Array, "R N"]
) -> tuple[Float[Array, "N N"], Float[Array, "R N"], Float[Array, "R N"]]:
    """The DNC's links after a write, and where they lead from where was read: backward and forward.

    Equal to `allocation.link`, and `allocation.follow` of its result. For the backward pass the links before are kept, and
    nothing else of their size.

    Source: Graves et al. 2016, methods, "Temporal memory linkage".
    """
    return _relink_forward(links, weights, precedence, reading)[0]


def _relink_backward(saved, cotangents):
    links, weights, rest, precedence, reading = saved
    d_linked, d_backward, d_forward = cotangents
    heads = len(reading)

    # linked^T d_forward and linked d_backward, by what linked is made of; its diagonal is zero.
    diagonal = (rest - weights) * jnp.diagonal(links) + weights * precedence
    up = jnp.concatenate([d_forward, weights * d_forward]) @ links
    down = jnp.einsum("ab,rb->ar", links, jnp.concatenate([d_backward, weights * d_backward])).T
    both = up + down
    d_reading = rest * both[:heads] - both[heads:] - diagonal * (d_backward + d_forward)
    d_reading += (d_forward @ weights)[:, None] * precedence + (d_backward @ precedence)[:, None] * weights

    left, right = jnp.concatenate([reading, d_forward]), jnp.concatenate([d_backward, reading])
    d_linked = allocation.off_diagonal(d_linked + left.T @ right)
    turn = d_linked * links
    # Sums of rows and columns as products with ones, which must not look constant: XLA would transpose the matrix then.
    ones = jnp.where(weights <= jnp.inf, jnp.ones_like(weights), 0)
    d_weights = d_linked @ precedence - turn @ ones - ones @ turn
    return (rest[:, None] - weights) * d_linked, d_weights, weights @ d_linked, d_reading


relink.defvjp(_relink_forward, _relink_backward)


def _blend_forward(matrix, key, value, rate):
    return matrix + rate * (key[:, None] * value - matrix), (matrix, key, value, rate)


@jax.custom_vjp
def blend(
    matrix: Float[Array, "K V"], key: Float[Array, "K"], value: Float[Array, "V"], rate: Float[Array, ""]
) -> Float[Array, "K V"]:
    """A Hebbian trace: M <- (1 - rate) M + rate k v^T, `edits.outer` of `edits.decay`.

    Source: Miconi et al. 2018, equation 2.
    """
    return _blend_forward(matrix, key, value, rate)[0]


def _blend_backward(saved, d_matrix):
    matrix, key, value, rate = saved
    d_key = d_matrix @ value
    # Sums as products with ones, which must not look constant: see `_relink_backward`.
    ones = jnp.where(value <= jnp.inf, jnp.ones_like(value), 0)
    d_rate = key @ d_key - jnp.sum((d_matrix * matrix) @ ones)
    return (1 - rate) * d_matrix, rate * d_key, rate * (key @ d_matrix), d_rate


blend.defvjp(_blend_forward, _blend_backward)


@jax.custom_vjp
def project(kernel: Float[Array, "D F"], xs: Float[Array, "L D"]) -> Float[Array, "L F"]:
    """The product xs @ kernel, for all steps of a chunk.

    Autodiff forms the kernel's gradient as a product that begins with the cotangent, which XLA transposes number by number on
    a CPU.
    """
    return xs @ kernel


def _project_backward(saved, d_projected):
    kernel, xs = saved
    return xs.T @ d_projected, d_projected @ kernel.T


project.defvjp(lambda *saved: (project(*saved), saved), _project_backward)


def invert_unit_lower(lower: Float[Array, "*B L L"]) -> Float[Array, "*B L L"]:
    """The inverse of I + lower, for a strictly lower triangular matrix.

    [A 0; B C]^-1 = [A^-1 0; -C^-1 B A^-1 C^-1], for halves of large matrices; in small ones for all blocks on the diagonal at
    once, which double in size until they fill the matrix. Every intermediate is part of a true inverse. The shorter way, the
    product (I - N)(I + N^2)(I + N^4).. of powers, is not an option: with equal keys they grow like binomial coefficients.
    """
    size = lower.shape[-1]
    if size > 16 and size % 2 == 0:
        first, second = slice(size // 2), slice(size // 2, size)
        above, below = invert_unit_lower(jnp.stack([lower[..., first, first], lower[..., second, second]]))
        left = jnp.concatenate([above, -below @ (lower[..., second, first] @ above)], -2)
        return jnp.concatenate([left, jnp.concatenate([jnp.zeros_like(below), below], -2)], -1)
    place = jnp.arange(size)
    inverse = jnp.broadcast_to(jnp.eye(size, dtype=lower.dtype), lower.shape)
    block = 1
    while block < size:
        row, column = place[:, None] // block, place // block
        below = jnp.where((row == column + 1) & (row % 2 == 1), lower, 0)
        inverse = inverse - inverse @ below @ inverse
        block *= 2
    return inverse


def _delta_chunk_forward(matrix, query, key, value, gate, within, carried):
    length = key.shape[-2]
    both = jnp.concatenate([query, key], -2)  # one large product is faster than two small ones
    dots, found = both @ key.mT, both @ matrix
    gate, left = gate[..., None], carried[..., None]
    error = value - left * found[:, length:]
    inverse = invert_unit_lower(jnp.tril(gate * within * dots[:, length:], -1))
    added = inverse @ (gate * error)
    reads = (within * dots[:, :length]) @ added + left * found[:, :length]
    after = left[:, -1:] * matrix + (within[:, -1, :, None] * key).mT @ added
    return (after, reads), (matrix, both, gate, within, carried, dots, found, error, inverse, added)


@jax.custom_vjp
def delta_chunk(
    matrix: Float[Array, "H K V"],
    query: Float[Array, "H L K"],
    key: Float[Array, "H L K"],
    value: Float[Array, "H L V"],
    gate: Float[Array, "H L"],
    within: Float[Array, "#H L L"],
    carried: Float[Array, "#H L"],
) -> tuple[Float[Array, "H K V"], Float[Array, "H L V"]]:
    """L steps of A <- rate A, A <- A + k (beta (v - A^T k))^T, each followed by a read q^T A: the matrix after, and the reads.

    With u_i = beta_i (v_i - A^T k_i) for what step i really adds, the steps are those of `matrix.add_chunk` with u for v, and

        u_i = beta_i (v_i - carried_i A_0^T k_i) - sum_{j<i} beta_i within_ij (k_i . k_j) u_j

    is a triangular system for all u of the chunk at once. The gate is beta; within and carried are those of `matrix.Fading`.

    Source: Yang et al. 2024, section 3 (the UT transform); with decay, Yang et al. 2025.
    """
    return _delta_chunk_forward(matrix, query, key, value, gate, within, carried)[0]


def _delta_chunk_backward(saved, cotangents):
    matrix, both, gate, within, carried, dots, found, error, inverse, added = saved
    d_after, d_reads = cotangents
    length, left, last = added.shape[-2], carried[..., None], within[:, -1, :, None]
    key, scores, likeness = both[:, length:], dots[:, :length], dots[:, length:]
    alike = jnp.tril(within * likeness, -1)

    # added = inverse (gate * error), where inverse = (I + gate * alike)^-1.
    last_found = key @ d_after
    d_right = inverse.mT @ ((within * scores).mT @ d_reads + last * last_found)
    d_value = gate * d_right
    d_gate = jnp.sum(d_right * error, -1) - jnp.sum((d_right @ added.mT) * alike, -1)

    # found = both @ matrix and dots = both @ key^T: queries read, keys are taken off.
    d_both_found = jnp.concatenate([d_reads, -d_value], -2)
    d_faded = d_both_found @ added.mT
    d_faded = jnp.concatenate([d_faded[:, :length], jnp.tril(d_faded[:, length:], -1)], -2)
    d_dots, d_found = jnp.concatenate([within] * 2, -2) * d_faded, jnp.concatenate([left] * 2, -2) * d_both_found
    d_both = d_found @ matrix.mT + d_dots @ key
    d_key = d_both[:, length:] + d_dots.mT @ both + last * (added @ d_after.mT)
    d_matrix = left[:, -1:] * d_after + both.mT @ d_found

    d_within = d_faded[:, :length] * scores + d_faded[:, length:] * likeness
    d_within = d_within.at[:, -1].add(jnp.sum(last_found * added, -1))
    d_carried = jnp.sum(d_both_found * found, -1).reshape(-1, 2, length).sum(1)
    d_carried = d_carried.at[:, -1].add(jnp.sum(d_after * matrix, (-2, -1)))
    if len(within) < len(matrix):  # one for all heads
        d_within, d_carried = d_within.sum(0, keepdims=True), d_carried.sum(0, keepdims=True)
    return d_matrix, d_both[:, :length], d_key, d_value, d_gate, d_within, d_carried


delta_chunk.defvjp(_delta_chunk_forward, _delta_chunk_backward)
