"""A causal language model and its tokenizer: generate, stream, score answers, choose, measure perplexity."""


class LanguageModel:
    """Text in, text out. A conversation is a list of {"role", "content"}; one that ends with the assistant's turn is continued.

    network: a transformers causal model, or a peft model around one; tokenizer: with a chat template
    """

    @classmethod
    def load(cls, model_id, adapter=None):
        """A base model by name, folder or hub id; adapter: a folder written by peft (or by `save`) for this very base."""

    def save(self, folder):
        """Write the adapter alone if there is one, else the whole model; safetensors and tokenizer; returns the folder."""

    def merge(self):
        """A model with the adapter added into the weights: same answers, no extra work, no adapter any more."""

    def generate(self, conversations, max_new_tokens=96, temperature=0.0, seed=0, batch_size=32, stop=None):
        """One text per conversation, in their order; temperature 0 takes the likeliest token each time (greedy)."""

    def stream(self, messages, max_new_tokens=256, temperature=0.0, seed=0):
        """Yield (piece of text, tokens per second so far) while one answer is written."""

    def log_likelihood(self, conversations, answers):
        """(nats, tokens): two arrays, the log-probability of each answer (end of turn included) and its number of tokens."""

    def choose(self, conversations, options, normalise=True, close=""):
        """For each conversation the option that the model thinks likeliest as its answer; the prompt is read once."""

    def perplexity(self, texts):
        """Nats per token of each text, an array; exp(mean) is the perplexity."""

    def count_tokens(self, conversations):
        """How many tokens the model reads of each conversation, its template included."""
