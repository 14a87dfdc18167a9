"""Question answering about a story: an encoder, a memory that stores the story and is read once, and an answer."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem import addressing, allocation, layers
from diffmem.append import AppendState
from diffmem.base import Array, Memory, Params, Readout, check_choice, check_counts
from diffmem.models.dropout import check_bypass, check_chance, drop, drop_bypass
from diffmem.unroll import store, where


class Answer(NamedTuple):
    """logits [V] over the vocabulary, and the memory's weights: [hops or passes, slots], the newest sentence first."""

    logits: Array
    weights: Any


class Trace(NamedTuple):
    """Where a memory wrote and read, step by step.

    writes: [T, N], how much each slot was written to, by all write heads together; None where the state does not say it.
    reads: [T, R, N], where each head read.
    """

    writes: Array | None
    reads: Any


def written(state: Any) -> Array | None:
    """How much each slot [N] was last written to, where a state says it: that of a DNC or NTM, alone or behind a controller."""
    weights = getattr(state, "write_weights", None)
    if weights is None:
        return written(state.memory) if hasattr(state, "memory") else None
    return allocation.joint(weights)


def recall(trace: Trace, asks: Array, begins: Array, at: Array, sources: Array) -> Array:
    """How much of what a head reads at one step was written at others: the paths that a memory takes, from write to read.

    A step's share of a slot is what it wrote there, times what every later write left of it, 1 - w. That is exact where what is
    written over is erased, and a slot is freed by being written over; a gate that erases less leaves more, one that empties
    freed slots less. A question sees the writes of the story, and its own; see `QuestionAnswering.respond_along`.

    Args:
        trace: [T, ..], of one stream.
        asks: [T] bool, whether an input is part of a question.
        begins: [T] bool, whether it is a question's first.
        at: [*A] steps that read.
        sources: steps of the story that wrote, -1: none; [*A, K], or what broadcasts to it.

    Returns:
        [*A, R, K], 0..1; a head's shares of all steps sum to at most what its weights sum to.

    Raises:
        ValueError: the trace does not say where the memory wrote.
    """
    if trace.writes is None:
        raise ValueError("trace.writes is None: the memory's state does not say where it wrote; legal: a trace of a DNC or NTM")
    writes, reads, asks, begins, at, sources = map(jnp.asarray, (*trace, asks, begins, at, sources))
    left = jnp.log(jnp.maximum(1 - writes, 1e-6))
    told = jnp.cumsum(jnp.where(asks[:, None], 0, left), 0)
    asked = jnp.cumsum(jnp.where(asks[:, None], left, 0), 0)
    first = jax.lax.cummax(jnp.where(begins, jnp.arange(len(begins)), 0))
    own = jnp.where(asks[:, None], asked - asked[first] + left[first], 0)  # since the question began

    def one(at, sources):
        later = told[at] + own[at] - told[sources]
        there = (sources >= 0) & (sources <= at)
        held = jnp.where(there[:, None], writes[sources] * jnp.exp(jnp.minimum(later, 0)), 0)
        return reads[at] @ held.T

    sources = jnp.broadcast_to(sources, (*at.shape, sources.shape[-1]))
    shares = jax.vmap(one)(at.ravel(), sources.reshape(-1, sources.shape[-1]))
    return shares.reshape(*at.shape, *shares.shape[1:])


def _one_hot(words: Array, vocabulary: int, dtype: Any) -> Array:
    """Words [*shape] as one-hot rows [*shape, V], zeros for padding."""
    return jax.nn.one_hot(words, vocabulary, dtype=dtype) * (words > 0)[..., None].astype(dtype)


def bags(words: Array, vocabulary: int, kind: str = "memn2n", dtype: Any = layers.DTYPE) -> Array:
    """Sentences as two bags of words each, from which `layers.embed_bags` makes position-encoded embeddings.

    Args:
        words: [*shape, J] word numbers, 0 for padding.
        vocabulary: V.
        kind: which position encoding, see `addressing.position_factors`; "bag" for one plain bag.
        dtype: of the result.

    Returns:
        [*shape, 2 V], or [*shape, V] for kind="bag".
    """
    hot = _one_hot(words, vocabulary, dtype)
    if kind == "bag":
        return hot.sum(-2)
    factors = addressing.position_factors(words.shape[-1], 1, kind)[0].astype(hot.dtype)
    return jnp.einsum("...jv,jf->...fv", hot, factors).reshape(*words.shape[:-1], -1)


def moments(words: Array, vocabulary: int, count: int) -> Array:
    """Sentences as `count` bags of words each, weighted by Legendre polynomials P_0, P_1, .. of the position in -1..1.

    A linear map of them gives each word an embedding that is a learned polynomial of its position.

    Args:
        words: [*shape, J] word numbers, 0 for padding.
        vocabulary: V.
        count: M.

    Returns:
        [*shape, M V].
    """
    t = np.linspace(-1, 1, words.shape[-1])
    polynomials = np.polynomial.legendre.legvander(t, count - 1)  # [J, M]
    hot = _one_hot(words, vocabulary, layers.DTYPE)
    return jnp.einsum("...jv,jm->...mv", hot, polynomials.astype(hot.dtype)).reshape(*words.shape[:-1], -1)


@dataclass(frozen=True)
class Bags:
    """Sentences and question as bags of words, for memories with embeddings of their own (MemN2N, MemNN).

    Args:
        vocabulary: V.
        kind: see `bags`.
        moments: M, see `moments`, in place of `kind`; 0: none. The memory takes them for a plain bag of M V words.
    """

    vocabulary: int
    kind: str = "memn2n"
    moments: int = 0

    def init_params(self, key: Array) -> Params:
        return {}

    def sentence(self, words: Array) -> Array:
        """What of a sentence [*shape, J] does not depend on parameters: computed once for a data set."""
        if self.moments:
            return moments(words, self.vocabulary, self.moments)
        return bags(words, self.vocabulary, self.kind)

    question = sentence

    def __call__(self, params: Params, story: Array, mask: Array, question: Array) -> tuple[Array, Array, Array]:
        return story, mask, question


@dataclass(frozen=True)
class Sentences:
    """Sentence vectors from all words at once, and the question by a GRU over its words (DMN+).

    Args:
        vocabulary: V.
        width: d.
        moments: M; 0 for a position encoding. Otherwise a word's embedding is a learned polynomial of its position t in
            -1..1, and a sentence is relu(W sum_j sum_m P_m(t_j) E_m[word_j] + b), with Legendre polynomials P_0 .. P_{M-1}.
        kind: which position encoding.
    """

    vocabulary: int
    width: int
    moments: int = 0
    kind: str = "paper"

    def init_params(self, key: Array) -> Params:
        embedding, question, places, mix = jax.random.split(key, 4)
        table = jax.random.uniform(embedding, (self.vocabulary, self.width), layers.DTYPE, -(3**0.5), 3**0.5)
        params = {"embedding": table, "question": layers.init_gru(question, self.width, self.width)}
        return {**params, **_init_mix(places, mix, self)} if self.moments else params

    def sentence(self, words: Array) -> Array:
        if not self.moments:
            return bags(words, self.vocabulary, self.kind)
        return moments(words, self.vocabulary, self.moments)

    def question(self, words: Array) -> Array:
        return words

    def __call__(self, params: Params, story: Array, mask: Array, question: Array) -> tuple[Array, Array, Array]:
        facts = _mix(params, story) if self.moments else layers.embed_bags(params["embedding"], story, "position", self.kind)
        query = layers.gru(params["question"], params["embedding"][question], mask=question > 0)[-1]
        return facts, mask, query


def _init_mix(places: Array, mix: Array, encoder: "Sentences | Stream") -> Params:
    size = (encoder.moments * encoder.vocabulary, encoder.width)
    return {
        "places": 0.3 * jax.random.normal(places, size, layers.DTYPE),
        "mix": layers.init_dense(mix, encoder.width, encoder.width),
    }


def _mix(params: Params, sentences: Array) -> Array:
    """Sentences as `moments` [N, M V] -> [N, d]."""
    return jax.nn.relu(layers.dense(params["mix"], sentences @ params["places"]))


@dataclass(frozen=True)
class Words:
    """A GRU over all words of the story, read at the sentence ends; the same GRU over the question (DMN).

    Args:
        vocabulary: V.
        width: d.
    """

    vocabulary: int
    width: int

    def init_params(self, key: Array) -> Params:
        embedding, gru = jax.random.split(key)
        table = jax.random.normal(embedding, (self.vocabulary, self.width), layers.DTYPE)
        return {"embedding": table, "gru": layers.init_gru(gru, self.width, self.width)}

    def sentence(self, words: Array) -> Array:
        return words

    question = sentence

    def __call__(self, params: Params, story: Array, mask: Array, question: Array) -> tuple[Array, Array, Array]:
        words = story.reshape(-1)
        hidden = layers.gru(params["gru"], params["embedding"][words], mask=words > 0)
        facts = hidden.reshape(*story.shape, -1)[:, -1]  # padding keeps the state: the last word's is the sentence's
        query = layers.gru(params["gru"], params["embedding"][question], mask=question > 0)[-1]
        return facts, mask, query


@dataclass(frozen=True)
class Stream:
    """Story and question as one stream, for memories that take one input at a time (LSTM, DNC).

    Args:
        vocabulary: V.
        width: d.
        moments: M; 0 for a stream of word vectors. Otherwise one of sentence vectors, which are those of `Sentences`.
        pondering: how often the last input of the question comes: with sentence vectors there are too few for several reads.
        chunk: of how many words a vector is made; 0: of a whole sentence. Only with moments. In parts, a sentence is read in
            its order: what stands before a verb and what behind it need not be told apart by position.
        dropout: chance that a number of an input is dropped, where `embed` is given a key.
    """

    vocabulary: int
    width: int
    moments: int = 0
    pondering: int = 1
    chunk: int = 0
    dropout: float = 0.0

    def __post_init__(self):
        check_chance(self, "dropout")

    def init_params(self, key: Array) -> Params:
        if self.moments:
            return _init_mix(*jax.random.split(key), self)
        return {"embedding": jax.random.normal(key, (self.vocabulary, self.width), layers.DTYPE)}

    def sentence(self, words: Array) -> Array:
        return words

    question = sentence

    def __call__(self, params: Params, story: Array, mask: Array, question: Array) -> tuple[Array, Array, None]:
        if self.moments:
            asked = self.chunks(question)
            last = jnp.any(asked > 0, -1).sum() - 1
            told = self.chunks(story).reshape(-1, asked.shape[-1])
            words = jnp.concatenate([told, asked, *[asked[last][None]] * (self.pondering - 1)])
            return self.embed(params, words), jnp.any(words > 0, -1), None
        words = jnp.append(story.reshape(-1), question)
        return self.embed(params, words), words > 0, None

    def chunks(self, words: Array) -> Array:
        """Sentences [*shape, J] in parts [*shape, C, chunk]; the last ones may be empty."""
        width = self.chunk or words.shape[-1]
        padded = jnp.pad(words, [*[(0, 0)] * (words.ndim - 1), (0, -words.shape[-1] % width)])
        return padded.reshape(*words.shape[:-1], -1, width)

    def embed(self, params: Params, words: Array, key: Array | None = None) -> Array:
        """The vectors [T, d] of a stream of words [T], or of inputs of several words [T, J]."""
        inputs = _mix(params, moments(words, self.vocabulary, self.moments)) if self.moments else params["embedding"][words]
        return drop(inputs, self.dropout, key)


ANSWERS = ("tied", "dense", "dense_query", "gru")


@dataclass(frozen=True)
class QuestionAnswering:
    """Stores a story, reads it with a question, and answers with one entry of the vocabulary.

    Args:
        encoder: `Bags`, `Sentences`, `Words` or `Stream`.
        memory: any memory whose sizes fit the encoder's.
        answer: "tied": W = C_K of a MemN2N with adjacent tying; "dense": W value; "dense_query": W [value, query] + b;
            "gru": one step of a GRU from the value with the question as input, then W (DMN).
        spelling: for answers of several words, P numbers for each entry of the vocabulary: W has rows for each place p and
            number c, and logits[v] = sum_p log softmax_c(W value + b)_p[spelling[v][p]]. Not for "tied".
        bypass_dropout: see `SequenceModel`; only `respond_along` drops anything.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.models import Bags, QuestionAnswering
        >>> model = QuestionAnswering(Bags(vocabulary=9), diffmem.MemN2N(input_size=18, width=8))
        >>> params = model.init_params(jax.random.key(0))
        >>> story = jax.numpy.array([[2, 3, 4, 0], [5, 3, 6, 0]])
        >>> model(params, *model.encode(story, jax.numpy.array([7, 2, 0, 0]))).logits.shape
        (9,)
    """

    encoder: Any
    memory: Memory
    answer: Literal["tied", "dense", "dense_query", "gru"] = "tied"
    spelling: tuple[tuple[int, ...], ...] = ()
    bypass_dropout: float = 0.0

    def __post_init__(self):
        check_choice(self, "answer", ANSWERS)
        check_counts(self, vocabulary=self.encoder.vocabulary)
        check_bypass(self)
        if self.answer == "tied" and getattr(self.memory, "tying", None) != "adjacent":
            raise ValueError(
                f"QuestionAnswering.answer is 'tied', but {type(self.memory).__name__} has no adjacent tying; legal: 'dense'"
            )

    def init_params(self, key: Array) -> Params:
        """Parameters of encoder, memory and answer."""
        encoder, memory, answer, gru = jax.random.split(key, 4)
        params = {"encoder": self.encoder.init_params(encoder), "memory": self.memory.init_params(memory)}
        size, vocabulary, query = layers.size_of(self.memory.read_shape), self.encoder.vocabulary, self.memory.query_size
        if self.answer == "tied":
            return params
        inputs = size + query if self.answer == "dense_query" else size
        spelling = np.array(self.spelling)
        outputs = spelling.shape[1] * (spelling.max() + 1) if self.spelling else vocabulary
        params["answer"] = layers.init_dense(answer, inputs, int(outputs))
        return {**params, "decoder": layers.init_gru(gru, vocabulary + query, size)} if self.answer == "gru" else params

    def encode(self, story: Array, question: Array) -> tuple[Array, Array, Array]:
        """A story [N, J] and question [J] in word numbers as the arguments of `__call__`. Empty sentences are padding."""
        return self.encoder.sentence(story), jnp.any(story > 0, -1), self.encoder.question(question)

    def _room(self, params: Params, sentences: int) -> Any:
        """The initial state, with no more slots than there are sentences: short stories do not pay for long ones."""
        state = self.memory.init_state(params)
        return state._replace(slots=state.slots[:sentences]) if isinstance(state, AppendState) else state

    def __call__(self, params: Params, story: Array, mask: Array, question: Array) -> Answer:
        """Answers a question.

        Args:
            params: from `init_params`.
            story: [N, ...], encoded sentences from the oldest to the newest.
            mask: [N] bool, False for padding.
            question: encoded.
        """
        return self.respond(params, *self.read_story(params, story, mask, question))

    def read_story(self, params: Params, story: Array, mask: Array, question: Array) -> tuple[Array, Array, Array | None]:
        """The encoder's facts [N, D], which of them count, and the query."""
        # Files of weights have no place for the empty parameters of an encoder that has none.
        return self.encoder(params.get("encoder", {}), story, mask, question)

    def respond(self, params: Params, facts: Array, mask: Array, query: Array | None) -> Answer:
        """What follows the encoder: stores the facts [N, D] whose mask is True, reads once, answers.

        Without a query the question is the end of the facts: the memory steps through them, reading as it goes.
        """
        memory = params["memory"]
        if query is None:
            value, weights = self._stream(memory, facts, mask)
        else:
            state = store(self.memory, memory, self._room(memory, len(facts)), facts, mask=mask)
            value, weights = self.memory.read(memory, state, query)[1]
        value = value.reshape(-1)
        if self.answer == "tied":
            return Answer(memory["embeddings"][-1] @ value, weights)
        if self.answer == "dense_query" and query is not None:
            value = jnp.concatenate([value, query])
        elif self.answer == "gru" and query is not None:
            first = jnp.concatenate([jnp.zeros(self.encoder.vocabulary, value.dtype), query])
            value = layers.gru(params["decoder"], first[None], value)[0]
        return Answer(self.logits(params, value), weights)

    def respond_along(
        self, params: Params, words: Array, asks: Array, begins: Array, ends: Array, key: Array | None = None
    ) -> Array:
        """Answers the questions that a stream asks on the way. For the encoder `Stream`.

        A question starts from the memory as the story has left it, and leaves no trace in it: answers and gradients are those
        of a stream for each question, but the story is read once for all of them.

        Args:
            params: from `init_params`.
            words: [T] word numbers, or [T, J] where an input has several words, as the encoder takes them; padding may only
                be at the end.
            asks: [T] bool, whether an input is part of a question.
            begins: [T] bool, whether it is a question's first.
            ends: [Q] where each question has its last.
            key: of what is dropped; None: nothing is.

        Returns:
            logits [Q, V].
        """
        return self.trace_along(params, words, asks, begins, ends, key)[0]

    def trace_along(
        self, params: Params, words: Array, asks: Array, begins: Array, ends: Array, key: Array | None = None
    ) -> tuple[Array, Trace]:
        """What `respond_along` returns, and where the memory wrote and read on the way."""
        inputs_key = None if key is None else jax.random.fold_in(key, 0)  # the bypass drops by the key itself
        embedded, memory = self.encoder.embed(params["encoder"], words, inputs_key), params["memory"]

        def step(carry, now):
            story, question = carry
            x, asks, begins = now
            after, readout = self.memory.step(memory, where(asks & ~begins, question, story), x)
            return (where(asks, story, after), after), (readout.value.ravel(), Trace(written(after), readout.weights))

        # Kept for the backward pass are the states, and not what each step computes between them: faster, with half the memory.
        recomputed = jax.checkpoint(step, prevent_cse=False)
        start = self.memory.init_state(memory)
        values, trace = jax.lax.scan(recomputed, (start, start), (embedded, asks, begins))[1]
        return jax.vmap(self.logits, in_axes=(None, 0))(params, drop_bypass(self, values[ends], key)), trace

    def _stream(self, params: Params, xs: Array, mask: Array) -> Readout:
        """What is read at the last x that counts; the others leave the memory as it is."""
        state = self.memory.init_state(params)
        readout = jax.eval_shape(self.memory.step, params, state, xs[0])[1]
        nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), readout)

        def step(carry, inputs):
            x, counts = inputs
            return where(counts, self.memory.step(params, carry[0], x), carry), None

        return jax.lax.scan(step, (state, nothing), (xs, mask))[0][1]

    def logits(self, params: Params, value: Array) -> Array:
        """[V], of the entries of the vocabulary, from what was read."""
        logits = layers.dense(params["answer"], value)
        if not self.spelling:
            return logits
        spelling = np.array(self.spelling)
        places = np.arange(spelling.shape[1])
        return jax.nn.log_softmax(logits.reshape(len(places), -1))[places, spelling].sum(-1)
