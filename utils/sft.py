"""Supervised fine-tuning of a language model on chats, with LoRA: fine_tune_chat(model_id, data)."""


def fine_tune_chat(
    model_id,
    data,
    epochs=2,
    lr=1e-3,
    batch_size=8,
    accumulate=1,
    rank=16,
    alpha=None,
    targets="all-linear",
    layers=None,
    max_tokens=512,
    patience=2,
    samples=(),
    seed=0,
    out=None,
):
    """Fine-tune on data["train"], keep the best epoch on data["validation"]; returns a Run.

    data: a DatasetDict with a column messages
    samples: conversations whose answers are generated and shown after each epoch; Run.samples keeps them
    Run: model (a LanguageModel with its adapter), epochs, best_epoch, train_loss, validation_loss [(epoch, nats per answer token)],
    learning, weights, seconds, tokens_per_second, memory_mb, dtype, samples, resumed_from
    """
