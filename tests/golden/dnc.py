"""Golden files of the Differentiable Neural Computer: `deepmind-dnc`, whole and in primitives, and `pytorch-dnc-memory`."""

import jax
import jax.numpy as jnp

import diffmem
from diffmem import addressing, allocation, edits
from tests.golden.ntm import collect, lstm_params, run


def side_by_side(parts, heads):
    """The interface's linear maps, each [.., heads * size], as one whose outputs are sorted by head."""
    rows = [part.reshape(*part.shape[:-1], heads, -1) for part in parts]
    return jnp.concatenate(rows, -1).reshape(*parts[0].shape[:-1], -1)


def states_of(states):
    """A trace of DNC states under the files' names."""
    return {
        "memory": states.slots,
        "read_w": states.read_weights,
        "write_w": states.write_weights,
        "link": states.links,
        "precedence": states.precedence,
        "usage": states.usage,
    }


def forward_deepmind(config, tensors):
    """google-deepmind/dnc: an LSTM whose output and state are clipped, and an output layer."""
    if config.get("kind") == "primitives":
        return primitives(tensors)
    hidden, reads, writes, clip = config["controller"], config["reads"], config["writes"], config["clip"]
    dnc = diffmem.DNC(
        input_size=hidden, slots=config["N"], width=config["W"], read_heads=reads, write_heads=writes,
        stop_usage=True, strength="softplus", epsilon="doubled",
    )  # fmt: skip
    memory = diffmem.control(dnc, config["input"], clip=clip or None)

    def layer(heads, *names):
        return {
            ours: side_by_side([tensors[f"param.{name}.{theirs}"] for name in names], heads)
            for ours, theirs in (("kernel", "W"), ("bias", "b"))
        }

    writing = ("write_keys", "write_strengths", "erase_vectors", "write_vectors", "allocation_gate", "write_gate")
    params = {
        "controller": lstm_params(tensors, "param.lstm", "igfo", (memory.controller.input_size, hidden), forget=1.0),
        "memory": {
            "read_heads": layer(reads, "read_keys", "read_strengths", "read_mode"),
            "write_heads": layer(writes, *writing),
            "free_gates": layer(reads, "free_gate"),
        },
    }
    values, states, kept = run(memory, params, memory.init_state(params), tensors)
    outputs = values @ tensors["param.out.W"] + tensors["param.out.b"]
    outputs = jnp.clip(outputs, -clip, clip) if clip else outputs
    traces = {"reads": states.reads, "h": states.controller.hidden, "c": states.controller.cell, **states_of(states.memory)}
    return collect(jnp.where(kept[..., None], outputs, 0), traces)


def forward_pytorch(config, tensors):
    """ixaxaar/pytorch-dnc, the memory alone: one interface vector, tanh keys and write vectors."""
    reads, width = config["reads"], config["W"]
    memory = diffmem.DNC(
        input_size=config["input"], slots=config["N"], width=width, read_heads=reads,
        strength="softplus", activation="tanh", epsilon="coarse",
    )  # fmt: skip

    def layer(part):
        sizes = (reads * width, reads, width, 1, width, width, reads, 1, 1, 3 * reads)
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
        keys, strengths, *writing, free, allocating, gate, modes = jnp.split(tensors[f"param.iface.{part}"], ends, -1)
        return side_by_side([keys, strengths, modes], reads), jnp.concatenate([*writing, allocating, gate], -1), free

    both = zip(("read_heads", "write_heads", "free_gates"), layer("W"), layer("b"), strict=True)
    params = {name: {"kernel": kernel, "bias": bias} for name, kernel, bias in both}

    def unroll(xs, slots, usage, read_weights, write_weights):
        initial = memory.init_state(params)._replace(
            slots=slots, usage=usage, read_weights=read_weights, write_weights=write_weights
        )
        return run(memory, params, initial, {"input.x": xs[None]})

    initial = [tensors[f"init.{name}"] for name in ("memory", "usage", "read_w", "write_w")]
    values, states, _ = jax.tree.map(lambda a: a[:, 0], jax.vmap(unroll)(tensors["input.x"], *initial))
    outputs = collect(values, states_of(states))
    return {"out.reads": outputs.pop("out.y"), **outputs}


def primitives(tensors):
    """Each function on inputs of its own, a batch of cases."""

    def all_of(
        memory, keys, strengths, write_w, free_gate, read_w, usage, write_gates, precedence, link, address, erase, values
    ):
        backward, forward = allocation.follow(link, read_w)
        retained = allocation.retention(read_w, free_gate)
        return {
            "content": addressing.content(keys, memory, jax.nn.softplus(strengths), epsilon="doubled"),
            "usage": allocation.use(usage, jax.lax.stop_gradient(write_w), retained),
            "allocation": allocation.allocate(usage, write_gates, ties="rounded"),
            "link": jax.vmap(allocation.link)(link, write_w, precedence),
            "precedence": allocation.precede(precedence, write_w),
            "forward": forward,
            "backward": backward,
            "memory": edits.erase_add_all(memory, address, erase, values),
        }

    names = ("memory", "keys", "strengths", "write_w", "free_gate", "read_w", "usage", "write_gates", "precedence", "link")
    arguments = [tensors[f"input.{name}"] for name in (*names, "address", "erase", "values")]
    return {f"out.{name}": value for name, value in jax.vmap(all_of)(*arguments).items()}


# An unused slot's allocation is 1e-6 to the power of its rank: usages differ by 1e-12, and by less, and are sorted by that.
SORTING = ("deepmind-dnc",)
CONVERTERS = {"deepmind-dnc": forward_deepmind, "pytorch-dnc-memory": forward_pytorch}
