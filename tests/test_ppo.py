"""PPO: what was done is what is recomputed, advantages, time-outs, state policies, resuming, messages."""

import dataclasses
import functools
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import diffmem
from diffmem import envs
from experiments import evaluate, ppo, ppo_sweep
from experiments.checkpoint import Checkpoints
from experiments.config import parse_options, split_options
from experiments.rl import Config, advantages, collect, evaluation, initial_agents, learn, make_optimizer
from experiments.rl.config import CORES, NUMBERS
from experiments.rl.learning import loss, refreshed, samples_of
from experiments.runtime import Diverged
from experiments.tables import agents
from tests import toy_envs
from tests.test_experiments import same

pytestmark = pytest.mark.usefixtures("echo")
nan = float("nan")
SMALL = {
    "width": 6,
    "heads": (5,),
    "envs": 4,
    "rollout": 12,
    "minibatches": 2,
    "epochs": 1,
    "memory_options": ("hidden_size=7",),
}


@pytest.fixture(scope="module", autouse=True)
def echo():
    with pytest.MonkeyPatch.context() as patch:
        toy_envs.register(patch)
        yield


def config(**options) -> Config:
    return Config(**{"env": "echo", **SMALL, **options})


def act(run, seed=0):
    """Parameters whose policy is not uniform, and two rollouts, so that the second begins within episodes."""

    @jax.jit
    def go(key):
        params = run.model().init_params(key)
        params["actor"]["output"]["kernel"] *= {"dnc": 500}.get(run.memory, 100)  # little is read from a DNC at first
        agents = initial_agents(run, params, key)
        agents, _ = collect(run, params, agents, jax.random.fold_in(key, 1))
        return params, agents, collect(run, params, agents, jax.random.fold_in(key, 2))[1]

    return go(jax.random.key(seed))


# --- What was done is what is recomputed ------------------------------------------------------------------------------


def ratio_error(run, seed=0):
    """The first minibatch's largest |ratio - 1|, where all chunks are one minibatch; and the largest change of a value."""
    params, _, rollout = act(run, seed)

    @jax.jit
    def recompute(params, rollout):
        samples = samples_of(run, rollout)
        return loss(run, run.model(), params, samples)[1]

    logged = recompute(params, rollout)
    assert np.asarray(rollout.ended)[:-1].any()
    assert np.asarray(rollout.start)[1:].tolist() == np.asarray(rollout.ended)[:-1].tolist()  # one step apart
    return float(logged["ratio_error"]), logged


@pytest.mark.parametrize("name", diffmem.names())
def test_first_ratio_is_one_for_every_memory(name):
    small = dict(diffmem.entry(name).small)
    width, options = small.pop("input_size"), tuple(f"{field}={value}" for field, value in small.items())
    run = config(memory=name, width=width, memory_options=options, chunk=6, env_options=("hazard=0.2",))
    with jax.numpy_dtype_promotion("strict"):
        error, logged = ratio_error(run)
    assert error < 1e-5
    assert float(logged["entropy"]) < np.log(3) - 1e-4  # the policy is not the uniform one, which would fit anything


@pytest.mark.parametrize(
    "options",
    [
        {"chunk": 6},
        {"env": "echo_multi"},
        {"env": "echo_box", "chunk": 4},
        {"env": "echo_grid"},
        {"state": "zero"},
        {"state": "burn_in", "burn_in": 3},
        {"controller": "lstm", "skip": True},
    ],
    ids=str,
)
def test_first_ratio_is_one_for_every_setting(options):
    assert ratio_error(config(**options))[0] < 1e-5


def test_ratio_notices_a_wrong_state():
    """The test above can fail: with the states of other environments the ratio is not one."""
    run = config(chunk=4, env_options=("max_steps=50",))
    params, _, rollout = act(run)
    samples = samples_of(run, rollout)
    wrong = samples._replace(memory=jax.tree.map(lambda a: jnp.roll(a, 1, 0), samples.memory))
    assert loss(run, run.model(), params, samples)[1]["ratio_error"] < 1e-5
    assert loss(run, run.model(), params, wrong)[1]["ratio_error"] > 1e-3


class CountingState(NamedTuple):
    hidden: jax.Array
    count: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Counting:
    """A stochastic memory that counts its steps: its state holds an integer and a key."""

    input_size: int

    query_size = 0
    read_shape = property(lambda self: (self.input_size,))

    def init_params(self, key):
        return {"rate": jax.random.normal(key, (self.input_size,))}

    def init_state(self, params):
        return CountingState(jnp.zeros(self.input_size), jnp.int32(0), jax.random.key(0))

    def write(self, params, state, x):
        key, noise = jax.random.split(state.key)
        x = x + 0.1 * jax.random.normal(noise, x.shape)
        return CountingState(jnp.tanh(state.hidden * params["rate"] + x) / (1 + state.count), state.count + 1, key)

    def read(self, params, state, query):
        return state, diffmem.Readout(state.hidden)

    def step(self, params, state, x):
        return self.read(params, self.write(params, state, x), x)


@pytest.mark.parametrize("state", ["stored", "burn_in", "refresh"])
def test_memory_with_integers_and_keys(state, monkeypatch):
    """Both the random noise and the count come out the same when the learner runs the sequence again."""
    monkeypatch.setitem(diffmem.base._REGISTRY, "counting", diffmem.base.Entry(Counting, "tests", {"input_size": 5}))
    burn_in = 2 if state == "burn_in" else 0
    run = config(memory="counting", memory_options=(), chunk=6, state=state, burn_in=burn_in)
    assert ratio_error(run)[0] < 1e-5
    params, _, rollout = act(run)
    moved = jax.jit(functools.partial(learn, run))(params, make_optimizer(run).init(params), rollout, jax.random.key(1))
    assert not same(moved[0], params)
    assert moved[2]["ratio_error"] < 1e-5


# --- Advantages -------------------------------------------------------------------------------------------------------


def test_advantages_are_a_loop():
    rng = np.random.default_rng(0)
    reward, value, following = rng.normal(size=(3, 9, 4))
    ended = rng.random((9, 4)) < 0.3
    want, later = np.zeros((9, 4)), np.zeros(4)
    for t in reversed(range(9)):
        delta = reward[t] + 0.9 * following[t] - value[t]
        later = delta + 0.9 * 0.7 * np.where(ended[t], 0, later)
        want[t] = later
    with jax.enable_x64(True):
        got = advantages(reward, value, following, ended, 0.9, 0.7)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_advantages_stop_a_nan():
    reward = np.array([[1.0], [np.nan]], np.float32)
    got = advantages(reward, 0 * reward[:1].repeat(2, 0), np.zeros((2, 1), np.float32), np.array([[True], [False]]), 0.9, 0.9)
    assert got[0, 0] == 1


@pytest.mark.parametrize("cut", [True, False])
def test_timeouts_are_bootstrapped_and_ends_are_not(cut):
    """next_value is the critic's value of the final observation, from the memory before it was reset; or zero."""
    run = config(env_options=(f"cut={cut}", "hazard=0.1"), rollout=14)
    params, _, rollout = act(run)
    model, env = run.model(), run.environment()
    step = jax.jit(model.step)
    rollout, bootstrapped, ends = jax.tree.map(np.asarray, rollout), 0, 0
    for i in range(run.envs):
        state, time = jax.tree.map(lambda a, i=i: a[0, i], rollout.memory), -100  # the first episode began before
        for t in range(run.rollout):
            start, action, following = (a[t, i] for a in (rollout.start, rollout.action, rollout.next_value))
            state, decision = step(params, state, rollout.observation[t, i], rollout.previous_action[t, i], start)
            np.testing.assert_allclose(decision.value, rollout.value[t, i], rtol=1e-5, atol=1e-6)
            time = 1 if start else time + 1
            if not rollout.ended[t, i]:
                if t + 1 < run.rollout:
                    assert following == rollout.value[t + 1, i]
            elif cut and following != 0:
                # The final observation is not in the rollout: one of the three symbols has this value.
                values = [step(params, state, jnp.int32(symbol), action, jnp.bool_(False))[1].value for symbol in range(3)]
                assert np.abs(np.array(values) - following).min() < 1e-6
                assert time == env.max_steps or time < 0
                bootstrapped += 1
            else:
                assert following == 0
                ends += 1
    assert (bootstrapped > 2) == cut
    assert ends > 2 or cut


def test_cut_off_too_early_stops_the_run(tmp_path, monkeypatch):
    """An environment that says its episodes are longer than they are: no silent zero, but an error."""
    monkeypatch.setattr(toy_envs.Echo, "advance", _early)
    run = config(env_options=("max_steps=50",), steps=48, log_every=1, checkpoint_every=1)
    with pytest.raises(
        Diverged, match=r"non-finite loss in rollout 1, seed 0 \(policy_loss, value_loss\).*before its max_steps"
    ):
        ppo.train(run, tmp_path / "run", progress=False)


def _early(self, key, params, state, action):
    state = state._replace(time=state.time + 1)
    return state, self._show(state), jnp.float32(0), jnp.bool_(False), state.time % 3 == 0


# --- Learning ---------------------------------------------------------------------------------------------------------


def test_refresh_recomputes_the_states():
    """With the acting parameters nothing changes; with others the states are those of a run with them."""
    run = config(chunk=4, state="refresh", env_options=("max_steps=50",))
    params, _, rollout = act(run)
    model, samples = run.model(), samples_of(run, rollout)
    np.testing.assert_allclose(refreshed(run, model, params, samples).hidden, samples.memory.hidden, atol=1e-6)
    other = jax.tree.map(lambda a: 1.1 * a, params)
    got = refreshed(run, model, other, samples).hidden.reshape(3, run.envs, -1)
    state = jax.tree.map(lambda a: a[0, 2], rollout.memory)
    seen = (rollout.observation, rollout.previous_action, rollout.start)
    state, _ = model.sequence(other, state, *(a[:8, 2] for a in seen))
    np.testing.assert_allclose(got[2, 2], state.hidden, atol=1e-6)


def test_burn_in_gives_no_gradient():
    """What the first steps of a chunk hold back from the loss: with a burn-in their log-probabilities do not matter."""
    run = config(state="burn_in", burn_in=5)
    params, _, rollout = act(run)
    samples = samples_of(run, rollout)
    changed = samples._replace(log_prob=samples.log_prob.at[:5].add(3.0))
    later = samples._replace(log_prob=samples.log_prob.at[5:].add(0.1))
    want, same_loss, other = (loss(run, run.model(), params, s)[0] for s in (samples, changed, later))
    assert want == same_loss
    assert want != other


def test_first_update_is_a_policy_gradient():
    """At ratio 1 the clipped objective's gradient is the plain one, with advantages normalised in the minibatch."""
    run = config(minibatches=1, entropy=0.0, value=0.0)
    params, _, rollout = act(run)
    samples = samples_of(run, rollout)
    model, policy = run.model(), run.model().distribution

    def plain(params):
        outputs = jax.vmap(functools.partial(model.sequence, params), (0, 1, 1, 1), (0, 1))(
            samples.memory, samples.observation, samples.previous_action, samples.start
        )[1].outputs
        log_prob = jax.vmap(jax.vmap(policy.log_prob))(outputs, samples.action)
        advantage = (samples.advantage - samples.advantage.mean()) / samples.advantage.std()
        return -jnp.mean(log_prob * advantage)

    want, got = jax.grad(plain)(params), jax.grad(lambda p: loss(run, model, p, samples)[0])(params)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_invalid_steps_do_not_count():
    """Filler steps, which some vector environments have after an end, are in no mean and in no gradient, not even NaN."""
    run = config()
    params, _, rollout = act(run)
    valid = jnp.arange(run.rollout)[:, None] % 3 != jnp.arange(run.envs)[None] % 3
    samples = samples_of(run, rollout._replace(valid=valid))
    broken = samples._replace(log_prob=jnp.where(valid, samples.log_prob, 5), advantage=jnp.where(valid, samples.advantage, 7))
    a, b = (jax.value_and_grad(lambda p, s=s: loss(run, run.model(), p, s)[0])(params) for s in (samples, broken))
    assert same(a, b)


def test_kl_stop():
    """A tiny limit allows one update, none allows all."""
    updates = {}
    for limit in (0.0, 1e-9):
        run = config(epochs=3, kl_stop=limit)
        params, _, rollout = act(run)
        learned = jax.jit(functools.partial(learn, run))(params, make_optimizer(run).init(params), rollout, jax.random.key(1))
        updates[limit] = int(learned[2]["updates"])
    assert updates == {0.0: 6, 1e-9: 1}


def test_timescales_learn_at_their_own_rate():
    run = config(memory="hebbian", memory_options=("key_size=3", "value_size=2"), timescales=("decay",), timescale_rate=0.0)
    params = run.model().init_params(jax.random.key(0))
    rule = make_optimizer(run)
    updates, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params), params)
    moved = optax.apply_updates(params, updates)
    assert same(moved["memory"]["decay"], params["memory"]["decay"])
    assert not same(moved["memory"]["key"], params["memory"]["key"])
    assert not same(moved["actor"], params["actor"])


def test_parsing_does_not_start_jax():
    """Timescales are looked up among a memory's parameters; the launcher chooses its devices after that."""
    parse = "ppo.parse(['repeat_previous_easy', '--memory', 'ffm', '--timescales', 'alpha', 'omega'])"
    program = f"import jax; from experiments import ppo; {parse}; jax.config.update('jax_num_cpu_devices', 2)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# --- The run ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    run = config(seeds=2, steps=6 * 48, log_every=1, checkpoint_every=2, check_ratio=True)
    return run, folder, ppo.train(run, folder, progress=False)


def lines(folder):
    return [{**line, "seconds": 0, "cpu_seconds": 0} for line in ppo.read_lines(folder / "metrics.jsonl")]


def test_interrupted_run_ends_bit_identical(whole, tmp_path, monkeypatch):
    """Stopped between two checkpoints: what was logged after the last one is run and logged again, once."""

    class Stop(Exception):
        pass

    run, folder, state = whole
    real = ppo.make_chunk

    def stopping(config):
        chunk, calls = real(config), []

        def once(state, count):
            calls.append(1)
            if len(calls) == 4:
                raise Stop
            return chunk(state, count)

        return once

    monkeypatch.setattr(ppo, "make_chunk", stopping)
    with pytest.raises(Stop):
        ppo.train(run, tmp_path / "run", progress=False)
    assert len(lines(tmp_path / "run")) == 3
    monkeypatch.setattr(ppo, "make_chunk", real)
    assert same(ppo.train(run, tmp_path / "run", progress=False), state)
    assert lines(tmp_path / "run") == lines(folder)


def test_seeds_are_independent_runs(whole, tmp_path):
    """The second of two seeds is the run that starts there."""
    run, folder, _ = whole
    alone = dataclasses.replace(run, seeds=1, seed=1, steps=48, log_every=1)
    ppo.train(alone, tmp_path / "run", progress=False)
    for name in ("return", "loss", "kl"):
        np.testing.assert_allclose(lines(tmp_path / "run")[0][name][0], lines(folder)[0][name][1], rtol=1e-4, atol=1e-6)


def test_summary_and_picture(whole, tmp_path):
    run, folder, state = whole
    result = json.loads(json.dumps(ppo.summary(run, folder)))
    returns = np.array([line["return"] for line in lines(folder)])
    np.testing.assert_allclose(result["mmer_seeds"], returns.max(0), atol=1e-4)
    np.testing.assert_allclose(result["mmer"], returns.max(0).mean(), atol=1e-4)
    np.testing.assert_allclose(result["final"], returns[-1].mean(), atol=1e-4)
    assert result["env_steps"] == 6 * 48
    assert result["parameters"] == sum(leaf[0].size for leaf in jax.tree.leaves(state.params))
    assert result["state_reals"] == 7
    assert result["ratio_error"] < 1e-5
    ppo.draw(
        {"gru": result["curve"], "short": {**result["curve"], "return": result["curve"]["return"][:2]}}, tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_no_episode_ends(tmp_path, capfd):
    """Nothing is published of what there is not, in JSON that any reader takes; tables cope; one line says so."""
    run = config(env_options=("max_steps=50",), steps=96, log_every=1, checkpoint_every=2)
    result = ppo.run(run, tmp_path, progress=False)
    said = "No episode ended in 24 steps of each environment: there is no return. An episode of echo_easy can last 50 steps\n"
    assert capfd.readouterr() == (said, "")
    refuse = lambda constant: pytest.fail(f"{constant} in JSON")  # noqa: E731
    assert json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse) == result
    assert (result["mmer"], result["mmer_spread"], result["mmer_seeds"], result["final"]) == (None, None, [None], None)
    assert ppo_sweep.row(result).split()[2:5] == ["-"] * 3
    assert "| no episode ended |" in agents.agents([result])


def test_scores_are_normalised_by_level():
    """Between random and perfect play of that level; a memory that was not tried on all of a level has no mean there."""
    config = {"seeds": 1, "memory_options": []}
    same = {"mmer_spread": 0.0, "parameters": 1, "state_reals": 1, "cpu_seconds": 1.0, "env_steps": 8, "config": config}
    gru = {
        "battleship_easy": -0.45,
        "pendulum_easy": 9.0,
        "repeat_first_easy": 1.0,
        "battleship_hard": 1.0,
        "autoencode_hard": 0.24,
    }
    ffm = {"battleship_easy": 1.0, "repeat_first_easy": 1.0, "battleship_hard": 1.0}
    scores = {"gru": gru, "ffm": ffm}
    cells = [{"env": env, "memory": name, "mmer": mmer, **same} for name, of in scores.items() for env, mmer in of.items()]
    rows = dict(line.strip("| ").split(" | ", 1) for line in agents.agents(cells).splitlines() if "normalised" in line)
    assert rows == {
        "normalised, mean of 2 easy": "0.500 | 1.000",
        "normalised, mean of 2 hard": "0.750",
        "normalised, mean of all 4": "0.625",
    }


def test_variants_of_a_memory_have_columns_of_their_own():
    """Their options tell them apart; a memory that occurs once is called by its name alone, whatever its options."""
    same = {"mmer_spread": 0.0, "parameters": 1, "state_reals": 1, "cpu_seconds": 1.0, "env_steps": 8, "env": "ballet"}
    kinds = (("ffm", []), ("ffm", ["scale=variance"]), ("gru", ["hidden_size=9"]))
    cells = [
        {"memory": name, "mmer": i / 10, **same, "config": {"seeds": 1, "memory_options": options}}
        for i, (name, options) in enumerate(kinds)
    ]
    lines = agents.agents(cells).splitlines()
    assert "| environment | `ffm` | `ffm scale=variance` | `gru` |" in lines
    assert "| `ballet` | 0.000 ± 0.000 | 0.100 ± 0.000 | 0.200 ± 0.000 |" in lines


@pytest.mark.parametrize(("per_step", "speed"), [(0.5, 2 * 48 / 0.5), (0.0, None)], ids=["measured", "shorter_than_the_clock"])
def test_speed(whole, tmp_path, per_step, speed):
    run, folder, _ = whole
    timed = [{**line, "seconds": per_step * line["step"]} for line in lines(folder)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timed))
    assert ppo.summary(run, tmp_path)["steps_per_second"] == speed


def test_finished_and_foreign_folders(whole):
    run, folder, state = whole
    assert same(ppo.train(run, folder, progress=False), state)
    with pytest.raises(ValueError, match=r"holds another run, which differs in config.entropy \(0.01 there, 0.2 here\)"):
        ppo.train(dataclasses.replace(run, entropy=0.2), folder, progress=False)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        assert checkpoints.steps() == [2, 4, 6]


def test_a_ratio_that_is_not_one_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(ppo, "RATIO_TOLERANCE", -1.0)
    with pytest.raises(Diverged, match="does not recompute what the agent did; there is no checkpoint yet"):
        ppo.train(config(steps=48, log_every=1, checkpoint_every=1, check_ratio=True), tmp_path / "run", progress=False)


def test_command_line():
    run, folder = ppo.parse(["echo_long", "--memory", "ntm", "--memory-options", "slots=9", "order=write_read", "--seeds", "3"])
    assert (run.env, run.difficulty, run.seeds) == ("echo", "long", 3)
    assert run.model().memory == diffmem.NTM(128, **{**CORES["ntm"], "slots": 9, "order": "write_read"})
    assert folder.as_posix() == "runs/ppo/echo_long_ntm_slots=9_order=write_read"
    for name in (["--env", "echo_long"], ["--env=echo_long"], ["--env", "echo", "--difficulty", "long"]):
        assert ppo.parse(["--seeds", "3", "--memory-options", "hidden_size=9", *name])[0] == Config(
            "echo_long", seeds=3, memory_options=("hidden_size=9",)
        )
    assert ppo.parse(["echo", "--env-options", "lag=2"])[1].as_posix() == "runs/ppo/echo_easy_lag=2_gru"
    assert ppo.parse(["echo", "--difficulty", "long"])[0].environment() == run.environment()
    assert parse_options(("a=1", "b-c=x", "d=false", "e=True")) == {"a": 1, "b_c": "x", "d": False, "e": True}
    assert split_options("a=(1e-6,(2,3)),b-c=[4,5],d=x") == ("a=(1e-6,(2,3))", "b-c=[4,5]", "d=x")
    assert split_options("") == ()


@pytest.mark.parametrize("name", diffmem.names())
def test_every_memory_is_a_core(name):
    """The default settings of an agent fit every memory."""
    model = Config("echo", memory=name).model()
    assert jax.eval_shape(model.init_params, jax.random.key(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "ehco"}, "unknown environment 'ehco'; did you mean 'echo'"),
        ({"env": "echo", "difficulty": "hrd"}, r"echo has no difficulty 'hrd'; did you mean 'grid'\? known: easy, long"),
        ({"env": "echo_lung"}, "echo has no difficulty 'lung'; did you mean 'long'"),
        ({"env": "echo_long", "difficulty": "easy"}, "Config.env is 'echo_long', but Config.difficulty is 'easy'"),
        ({"env_options": ("lagg=2",)}, "Echo has no field 'lagg'; did you mean 'lag'"),
        ({"memory": "gruu"}, "unknown memory 'gruu'; did you mean 'gru'"),
        ({"memory_options": ("hidden=3",)}, "GRU has no field 'hidden'"),
        ({"memory_options": ("hidden_size",)}, "option 'hidden_size' has no value; legal: name=value"),
        ({"minibatches": 3}, r"Config.minibatches is 3; it must divide the 4 chunks of a rollout \(4 environments x 1\)"),
        ({"chunk": 5}, "Config.chunk is 5; it must divide rollout, 12"),
        ({"envs": 0}, "Config.envs is 0"),
        ({"state": "burnin"}, "Config.state is 'burnin'; legal: 'stored'"),
        ({"state": "burn_in"}, "Config.burn_in is 0 with state='burn_in'; legal: 1 to 11"),
        ({"burn_in": 3}, "Config.burn_in is 3 with state='stored'"),
        ({"state": "refresh"}, "make chunk smaller than rollout"),
        ({"state": "zero", "chunk": 6}, "needs whole episodes in a chunk"),
        ({"state": "zero", "env": "echo_long"}, "up to 51 steps; use chunk=0 and rollout >= 51"),
        ({"checkpoint_every": 7}, "must be a multiple of log_every, 5"),
        ({"controller": "rnn"}, "Config.controller is 'rnn'; legal: 'none'"),
        ({"memory_options": ("input_size=3",)}, "Config.memory_options has input_size=3; it is Config.width, 6: set that"),
        ({"memory_options": ("name=x",)}, "GRU has no field 'name'"),
        ({"memory_options": ("learned_state=yes",)}, "GRU.learned_state is 'yes'; legal: True, False"),
        ({"env_options": ("difficulty=long",)}, "Echo has no field 'difficulty'; .*known: symbols, lag"),
        ({"env_options": ("cut=1",)}, "Echo.cut is 1; legal: True, False"),
        ({"heads": 64}, "Config.heads is 64; it must be a tuple of integers"),
        (
            {"timescales": ("omegas",), "memory": "ffm", "memory_options": ()},
            "has 'omegas', but ffm has no such; did you mean 'omega'",
        ),
        ({"seed": -1}, "Config.seed is -1"),
        *(({field: nan}, f"Config.{field} is nan; it must be") for field in NUMBERS),
        *(({field: "1"}, f"Config.{field} is '1'; it must be") for field in NUMBERS),
        *(({field: -0.1}, f"Config.{field} is -0.1; it must be") for field in NUMBERS),
        *(({field: 1.5}, f"Config.{field} is 1.5; it must be a number from 0 to 1") for field in ("discount", "trace")),
        *(({field: 0.0}, f"Config.{field} is 0.0; it must be a") for field in ("learning_rate", "clip", "max_gradient")),
    ],
    ids=str,
)
def test_messages(options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)


@pytest.mark.parametrize(
    ("env", "action", "message"),
    [
        ("echo", 3, r"action is 3; legal for Echo: Discrete\(n=3\); given: int64\[\]"),
        ("echo", 0.5, r"action is 0\.5; .*given: float64\[\]"),
        ("echo", 1.0, r"action is 1\.0; "),
        ("echo", True, r"action is True; .*given: bool"),
        ("echo", "a", "action is 'a'; "),
        ("echo", None, r"action is None; .*given: object"),
        ("echo_multi", [0.5, 0.5], r"action is \[0\.5, 0\.5\]; .*MultiDiscrete"),
        ("echo_multi", [0, 2], r"action is \[0, 2\]; "),
        ("echo_box", [True, False], r"action is \[True, False\]; .*Box"),
        ("echo_box", [0.0, 1.5], r"action is \[0\.0, 1\.5\]; "),
    ],
)
def test_action_that_is_none(env, action, message):
    with pytest.raises(ValueError, match=message):
        envs.check_action(config(env=env).environment(), action)


@pytest.mark.parametrize(("env", "action"), [("echo", np.int8(2)), ("echo_multi", (2, 1)), ("echo_box", (0, 1)), ("echo", 0)])
def test_legal_actions(env, action):
    envs.check_action(config(env=env).environment(), action)


def test_sweep_runs_what_is_missing(whole, tmp_path, monkeypatch, capsys):
    """Finished cells, with the same settings, are skipped; the table and the pictures have all of them."""
    _, folder, _ = whole
    ran = []

    def fake(config, folder_of_cell, **_):
        ran.append((config.env, config.memory, folder_of_cell.name))
        return {**ppo.summary(whole[0], folder), "memory": config.memory, "config": config.to_json()}

    monkeypatch.setattr(ppo, "run", fake)
    monkeypatch.setattr(ppo_sweep, "use_cpu_cores", lambda _: None)
    monkeypatch.setattr(ppo_sweep, "set_up_compiler", lambda: None)
    only = diffmem.base.Registry("environment")
    only.add("echo", envs.entry("echo"))
    monkeypatch.setattr(envs.base, "_REGISTRY", only)
    arguments = ["--out", str(tmp_path), "--results", str(tmp_path / "rl" / "table.jsonl"), "--run.steps", "48"]
    ppo_sweep.main(["echo_long", *arguments, "--memories", "gru"])
    finished = ppo_sweep.main(["echo_long", *arguments, "--memories", "gru", "lstm"])
    assert ran == [("echo", "gru", "echo_long_gru"), ("echo", "lstm", "echo_long_lstm")]
    assert [cell["memory"] for cell in finished] == ["gru", "lstm"]
    assert len(ppo_sweep.read(tmp_path / "rl" / "table.jsonl")) == 2
    assert capsys.readouterr().out.count("echo_easy") == 3
    assert (tmp_path / "echo_easy.png").exists()
    ppo_sweep.main(["echo_long", *arguments, "--memories", "gru", "--run.entropy", "0.5"])
    ppo_sweep.main(["echo_long", *arguments, "--memories", "gru:hidden_size=9,learned_state=True"])
    assert ran[2:] == [("echo", "gru", "echo_long_gru"), ("echo", "gru", "echo_long_gru_hidden_size=9_learned_state=True")]
    ppo_sweep.main(["echo_long", *arguments, "--memories", "ffm:decay_limits=(1e-6,2.0),context_size=2"])
    assert ran[4:] == [("echo", "ffm", "echo_long_ffm_decay_limits=(1e-6,2.0)_context_size=2")]


def test_evaluation_of_a_run_on_other_environments(whole, tmp_path, capsys):
    file, other = tmp_path / "rl" / "result.json", "lag=0,max_steps=1"
    found = evaluate.main([str(whole[1]), "--on", other, "lag=4", "--episodes", "6", "--json", str(file)])
    assert json.loads(file.read_text()) == found
    assert list(found["on"]) == [other, "lag=4"]
    assert other in capsys.readouterr().out
    # One guess an episode, right or wrong: the mean of six is a sixth of a whole number.
    for mean in found["on"][other]["seeds"]:
        assert abs(6 * mean - round(6 * mean)) < 1e-3
    assert found["on"][other]["return"] == pytest.approx(np.median(found["on"][other]["seeds"]), abs=1e-4)
    for fields, message in [
        ("lagg=2", "Echo has no field 'lagg'"),
        ("difficulty=long", "Echo has no field 'difficulty'"),
        ("symbols=4", r"--on symbols=4: the run's network takes observations of Discrete\(n=3\) .* there are Discrete\(n=4\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate.main([str(whole[1]), "--on", fields])


def test_watching_an_agent(whole, capsys):
    """Five steps: the last picture of an episode of three, the first of the next; rewards are for what was in the pictures."""
    evaluate.main([str(whole[1]), "--on", "lag=0,max_steps=3", "--episodes", "1", "--render", "5"])
    first, *later = re.split(r"\n(?=step|a new)", capsys.readouterr().out.replace("\n\n", "\n"))
    typed = ["step 1", "step 2", "step 3", "a new episode", "step 4", "step 5"]
    assert [text.split("\n")[0].split(":")[0] for text in later] == typed
    symbol = int(first.splitlines()[-1].strip("[]"))
    for t, text in enumerate(later):
        said, picture = text.split("\n")[:2]
        if said.startswith("step"):
            action, reward, end = re.fullmatch(r"step \d: action (\d), reward ([\d.]+)(.*)", said).groups()
            assert float(reward) == (0.3333 if int(action) == symbol else 0)
            assert end == (", the episode ends" if t == 2 else "")
        symbol = int(picture.strip("[]"))
    with pytest.raises(ValueError, match="--render is -1; it must be an integer >= 0"):
        evaluate.main([str(whole[1]), "--render", "-1"])


def test_evaluation_counts_first_episodes(monkeypatch):
    """What begins later within the time of the longest would favour short episodes."""
    ended = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    returned = np.arange(9.0).reshape(3, 3)
    rollout = SimpleNamespace(ended=jnp.array(ended), returned=jnp.array(returned))
    monkeypatch.setattr(evaluation, "initial_agents", lambda *_: None)
    monkeypatch.setattr(evaluation, "collect", lambda *_: (None, rollout))
    found = evaluation.returns(config(envs=3, minibatches=1), {"seeds": jnp.zeros(2)}, seed=0)
    assert found.tolist() == [[3, 1, 8]] * 2
    zero = config(state="zero")  # whose rollouts must hold whole episodes, of where it is evaluated not
    assert evaluation.evaluate(zero, {"seeds": jnp.zeros(2)}, ("max_steps=40",), episodes=3)["max_steps=40"]["seeds"] == [4, 4]


@pytest.mark.slow
def test_it_learns(tmp_path):
    """RepeatPrevious, easy, with the settings of the README's table: above 0.9 within 0.5 M steps."""
    result: Any = ppo.run(Config("repeat_previous_easy", steps=500_000), tmp_path / "run", progress=False)
    assert result["mmer"] > 0.9
