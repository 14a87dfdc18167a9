"""Pictures: they show the numbers they were given, and the trace they are drawn from is the memory's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem import viz


def test_trace_is_the_unrolled_memory():
    memory = diffmem.NTM(input_size=5, slots=11, width=3)
    params = memory.init_params(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (7, 5))
    states, readouts = viz.trace(memory, params, xs)
    final, expected = diffmem.unroll(memory, params, None, xs)
    np.testing.assert_allclose(readouts.weights, expected.weights, rtol=1e-6)
    np.testing.assert_allclose(states.slots[-1], final.slots, rtol=1e-6)
    assert states.write_weights.shape == (7, 1, 11)


def test_learning_curve_shows_every_seed_and_the_median():
    losses = np.array([[3.0, 5.0, 10.0], [1.0, 2.0, 9.0]])
    axes = viz.learning_curve([10, 20], {"ntm": losses}).axes[0]
    lines = [line.get_ydata().tolist() for line in axes.lines]
    assert lines == [[3.0, 1.0], [5.0, 2.0], [10.0, 9.0], [5.0, 2.0]]
    assert "median of 3" in axes.get_legend().get_texts()[0].get_text()


def test_generalisation_curve_goes_through_the_medians_in_order():
    axes = viz.generalisation_curve({"ntm": {120: [4.0, 0.0, 7.0], 20: [0.0, 0.0, 1.0]}}, trained=(1, 20)).axes[0]
    median = axes.lines[-1]
    assert median.get_xdata().tolist() == [20, 120]
    assert median.get_ydata().tolist() == [0.0, 4.0]


def test_capacity_curve_goes_through_the_medians_in_order():
    axes = viz.capacity_curve({"delta": {64: [90.0, 99.0, 98.0], 4: [100.0]}}, guess=2.0).axes[0]
    assert axes.lines[-1].get_xdata().tolist() == [4, 64]
    assert axes.lines[-1].get_ydata().tolist() == [100.0, 98.0]
    assert axes.lines[0].get_ydata() == [2.0, 2.0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["guessing", "delta"]


def test_memory_use_shows_the_used_slots_only():
    """A head that walks over the end of the ring, from slot 47 to slot 2, is drawn as one line."""
    steps, slots = 6, 50
    walk = (47 + jnp.arange(steps)) % slots
    write = jnp.zeros((steps, slots)).at[jnp.arange(steps), walk].set(1.0)
    bits = jnp.ones((steps, 3))
    figure = viz.memory_use(bits, bits, bits, write, write[::-1])
    images = [axes.images[0] for axes in figure.axes]
    assert [image.get_array().shape for image in images] == [(3, 6), (10, 6), (3, 6), (10, 6), (3, 6)]
    np.testing.assert_array_equal(images[1].get_array(), np.roll(np.asarray(write).T, 5, axis=0)[:10])
    assert images[1].get_extent()[2:] == [54.5, 44.5]
    assert figure.axes[1].yaxis.get_major_formatter()(52.0, 0) == "2"


@pytest.mark.parametrize("write_heads", [1, 2])
def test_gates_of_a_dnc_are_those_it_used(write_heads):
    """Its weights follow from them: what is written at all is the write gate, what allocation leaves is found by content."""
    memory = diffmem.DNC(input_size=5, slots=11, width=3, read_heads=2, write_heads=write_heads)
    params = memory.init_params(jax.random.key(0))
    xs = 3 * jax.random.normal(jax.random.key(1), (7, 5))
    states, _ = viz.trace(memory, params, xs)
    gates = viz.dnc_gates(memory, params, xs)
    shapes = {name: values.shape for name, values in gates.items()}
    assert shapes == {
        "write gate": (7, write_heads),
        "allocation gate": (7, write_heads),
        "free gates": (7, 2),
        "read modes": (7, 2, 1 + 2 * write_heads),
    }
    np.testing.assert_allclose(states.write_weights[0, 0].sum(), gates["write gate"][0, 0], rtol=1e-5)
    # All slots are free at first, and the first of them is allocated; content is uniform over an empty memory.
    share = gates["allocation gate"][0, 0]
    first = gates["write gate"][0, 0] * (share + (1 - share) / 11)
    np.testing.assert_allclose(states.write_weights[0, 0, 0], first, rtol=1e-5)
    written, freed = states.write_weights[0], 1 - gates["free gates"][1][:, None] * states.read_weights[0]
    np.testing.assert_allclose(states.usage[1], (1 - (1 - written).prod(0)) * freed.prod(0), rtol=1e-5)
    np.testing.assert_allclose(gates["read modes"].sum(-1), 1, rtol=1e-6)
    # At the first step nothing is linked: what is read comes from content lookup alone.
    np.testing.assert_allclose(states.read_weights[0].sum(-1), gates["read modes"][0, :, -1], rtol=1e-5)


def test_gates_without_links_have_no_read_modes():
    memory = diffmem.DNC(input_size=5, slots=11, width=3, links=False)
    gates = viz.dnc_gates(memory, memory.init_params(jax.random.key(0)), jnp.ones((7, 5)))
    assert set(gates) == {"write gate", "allocation gate", "free gates"}


def test_memory_schema_shows_used_slots_and_gates():
    generator = np.random.default_rng(0)
    write, read = np.zeros((6, 1, 9)), np.zeros((6, 2, 9))
    write[range(6), 0, [1, 2, 3, 1, 2, 3]] = 1
    read[range(6), 1, [7, 1, 2, 3, 1, 2]] = 1
    usage = generator.random((6, 9))
    gates = {
        "write gate": generator.random((6, 1)),
        "free gates": generator.random((6, 2)),
        "read modes": generator.dirichlet(np.ones(3), (6, 2)),
    }
    figure = viz.memory_schema(np.ones((6, 4)), write, read, usage, gates, marks=[3])
    figure.canvas.draw()
    slots = [1, 2, 3, 7]
    expected = [np.ones((6, 4)), write[:, 0, slots], read[:, 0, slots], read[:, 1, slots], usage[:, slots]]
    expected += [gates["write gate"], gates["free gates"], gates["read modes"][:, 0], gates["read modes"][:, 1]]
    for axes, values in zip(figure.axes, expected, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), values.T)
        assert axes.images[0].get_clim() == (0, 1)
        assert [line.get_xdata()[0] for line in axes.lines] == [2.5]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["1", "2", "3", "7"]
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["backward", "forward", "content"]
    links = generator.random((1, 9, 9))
    shown = viz.memory_schema(np.ones((6, 4)), write, read, usage, gates, links=links).axes
    np.testing.assert_array_equal(shown[-1].images[0].get_array(), links[0][np.ix_(slots, slots)])
    assert (shown[-2].get_xlabel(), shown[-1].get_xlabel()) == ("time step", "written just after slot")
    unused = viz.memory_schema(np.ones((6, 4)), 0 * write, 0 * read, usage, {})
    assert unused.axes[1].images[0].get_array().shape == (9, 6)


def test_story_attention_shows_story_weights_and_facts():
    sentences = ["Mary went home.", "John left $5 or $6.", "Mary slept."]
    weights = np.array([[0.7, 0.2, 0.1, 0.0], [0.004, 0.0, 0.016, 0.98]])
    figure = viz.story_attention(
        sentences, "Where is Mary?", "Home", weights, (2,), target="garden", unit="pass", rest="no more"
    )
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), weights.T)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["pass 1", "pass 2"]
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == [
        "1  Mary went home.",
        "2  John left $5 or $6.",
        "3  Mary slept.  ◂",
        "(no more)",
    ]
    assert [label.get_color() for label in labels] == ["black", "black", viz.COLOURS[1], "0.4"]
    numbers = {(round(x), round(y)): text.get_text() for text in axes.texts for x, y in [text.get_position()]}
    assert numbers == {(0, 0): "70", (0, 1): "20", (0, 2): "10", (1, 2): "2", (1, 3): "98"}
    assert figure.get_supxlabel().split("\n") == ["Where is Mary?", "→ Home (expected: garden)", "◂ supporting fact"]
    figure.canvas.draw()  # dollars are no formulas
    places = [label.get_window_extent() for label in labels]
    assert min(place.x0 for place in places) > 0
    assert max(place.x1 for place in places) < axes.get_window_extent().x0


def test_story_attention_without_extras_and_with_wrong_ones():
    sentences = ["a b.", "c d."]
    figure = viz.story_attention(sentences, "a?", "home", [[0.5, 0.5]], target="HOME")
    assert figure.get_supxlabel() == "a?\n→ home"
    assert len(figure.axes[0].get_yticklabels()) == 2
    with pytest.raises(ValueError, match=r"weights is \[1, 4\]; it must be \[hops, N\] or .* for the 2 sentences"):
        viz.story_attention(sentences, "a?", "b", np.zeros((1, 4)))
    with pytest.raises(ValueError, match="weights is"):
        viz.story_attention([], "a?", "b", np.zeros((1, 0)))
    with pytest.raises(ValueError, match=r"facts is \[2\]; legal: 0 to 1"):
        viz.story_attention(sentences, "a?", "b", np.zeros((1, 2)), (2,))


def test_slot_attention_shows_every_step_and_head():
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 2, 3))  # 5 steps, 2 heads, 3 slots and an input
    axes = viz.slot_attention(weights, labels=[*"abc", "$d", "e$"]).axes
    for panel, (head, step) in zip(axes, np.ndindex(2, 5), strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), weights[step, head])
        assert panel.images[0].get_clim() == (0, 1)
    assert [panel.get_title() for panel in axes] == [*"abc", "$d", "e$", *[""] * 5]
    assert [panel.get_ylabel() for panel in axes[::5]] == ["head 0", "head 1"]
    assert [label.get_text() for label in axes[-1].get_xticklabels()] == ["slots", "in"]
    with pytest.raises(ValueError, match=r"weights is \[5, 2, 3, 3\]; it must be \[T, H, N, M\] with M > N"):
        viz.slot_attention(weights[..., :3])
    with pytest.raises(ValueError, match="labels are 1; legal: 5"):
        viz.slot_attention(weights, labels=["a"])


def test_recall_curves_show_shares_as_percent():
    left, right = viz.recall_curves({"recalled": [1.0, 0.25]}, {"alive": [1.0, 0.5, 0.0]}).axes
    assert left.lines[0].get_xdata().tolist() == [1, 2]
    assert left.lines[0].get_ydata().tolist() == [100, 25]
    assert right.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert right.lines[0].get_ydata().tolist() == [100, 50, 0]
