"""Speed of fine-tuning a language model: our fine_tune_chat against trl's SFTTrainer, and our generation against one by one.

    python -m tests.bench_sft [--rows N] [--pairs N] [--told] [--twin 135M|1.7B] [--only train|generate]

Same data, base, LoRA (rank 16, all linear layers), batch, epochs and learning rate; each side trains in a process of
its own, so that its peak memory is its own; the two take turns. A token counts where a chat has it: padding does not.
--twin takes random weights of that shape, for a machine without the real ones. Run it with nothing else running.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

from utils import models
from utils.desk import desk_data
from utils.language_models import LanguageModel
from utils.runtime import device, fastest_dtype, matrix_rate, peak_memory_mb, runs_dir, set_seed
from utils.sft import encode, fine_tune_chat
from utils.stats import bootstrap

# hidden size, inner size, layers, heads, key heads
TWINS = {"135M": (576, 1536, 30, 9, 3), "1.7B": (2048, 8192, 24, 32, 32)}
RANK, LR = 16, 1e-3


def base(twin):
    """The folder of the base model: SmolLM2, or a twin of random weights with its tokenizer."""
    if not twin:
        return "smollm2"
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = runs_dir() / f"twin-{twin}"
    if not (folder / "tokenizer.json").exists():
        hidden, inner, layers, heads, keys = TWINS[twin]
        shape = dict(vocab_size=49152, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads)
        config = LlamaConfig(**shape, num_key_value_heads=keys, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2)
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
        models.load_tokenizer("smollm2").save_pretrained(folder)
    return folder


def chats(a):
    """The desk's triage chats: a.rows to train on, up to 64 held out."""
    data = desk_data("triage", told=a.told)
    data["train"] = data["train"].shuffle(seed=0).select(range(min(a.rows, len(data["train"]))))
    data["validation"] = data["validation"].select(range(min(64, a.rows, len(data["validation"]))))
    return data


def held_out(model, data):
    """Nats per answer token of each held-out chat."""
    rows = data["validation"]["messages"]
    nats, tokens = model.log_likelihood([chat[:-1] for chat in rows], [chat[-1]["content"] for chat in rows])
    return (-nats / tokens).tolist()


def stock(a, data, folder, tokens):
    """What trl's documentation shows, with our sizes; returns (model, seconds)."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    kind = fastest_dtype()
    rows = data["train"].map(lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]})
    rows = rows.remove_columns([name for name in rows.column_names if name not in ("prompt", "completion")])
    with tempfile.TemporaryDirectory() as out:
        options = SFTConfig(
            out,
            num_train_epochs=a.epochs,
            per_device_train_batch_size=a.batch,
            learning_rate=LR,
            warmup_steps=0.1,
            max_length=None,
            bf16=kind == "bfloat16",
            fp16=kind == "float16",
            use_cpu=device() == "cpu",
            gradient_checkpointing=False,
            dataloader_pin_memory=device() == "cuda",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        network = AutoModelForCausalLM.from_pretrained(models.locate(folder), dtype=torch.float32)
        adapter = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        tokenizer = models.load_tokenizer(folder)
        trainer = SFTTrainer(network, options, train_dataset=rows, processing_class=tokenizer, peft_config=adapter)
        started = time.perf_counter()
        trainer.train()
        return LanguageModel(trainer.model, tokenizer, folder), tokens / (time.perf_counter() - started)


def one_run(a):
    """Train one side, print its figures as one JSON line."""
    data, folder = chats(a), base(a.twin)
    tokens = a.epochs * sum(len(item["input_ids"]) for item in encode(models.load_tokenizer(folder), data["train"], 4096))
    if a.side == "stock":
        model, rate = stock(a, data, folder, tokens)
        memory = torch.cuda.max_memory_allocated() / 1e6 if device() == "cuda" else peak_memory_mb()
    else:
        run = fine_tune_chat(folder, data, epochs=a.epochs, lr=LR, batch_size=a.batch, rank=RANK, max_tokens=4096, patience=None)
        model, rate, memory = run.model, run.tokens_per_second, run.memory_mb
    print(json.dumps(dict(rate=rate, memory=memory, losses=held_out(model, data))))


def train(a):
    """Both sides in turn, `pairs` times; prints medians, the ratio, losses, memory and the share of the matrix rate."""
    found = {"stock": [], "ours": []}
    for pair in range(a.pairs):
        for side in found:
            command = [sys.executable, "-m", "tests.bench_sft", "--side", side, *a.passed]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr[-3000:])
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
        s, o = (found[side][-1] for side in found)
        print(
            f"pair {pair + 1}: stock {s['rate']:.0f} tokens/s, {s['memory']:.0f} MB; ours {o['rate']:.0f} tokens/s, {o['memory']:.0f} MB; "
            f"held-out loss {np.mean(s['losses']):.4f} and {np.mean(o['losses']):.4f} nats per token",
            flush=True,
        )
    medians = {side: statistics.median(run["rate"] for run in runs) for side, runs in found.items()}
    ratios = [o["rate"] / s["rate"] for s, o in zip(found["stock"], found["ours"], strict=True)]
    print(
        f"median: stock {medians['stock']:.0f}, ours {medians['ours']:.0f} tokens/s; "
        f"ratio of pairs {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    difference = np.array(found["ours"][-1]["losses"]) - np.array(found["stock"][-1]["losses"])
    gap = bootstrap(lambda d: d.mean(-1), difference)
    print(f"held-out loss, ours minus stock, mean over chats: {gap.estimate:+.4f} nats per token ({gap.low:+.4f} to {gap.high:+.4f})")
    hidden, inner, layers, heads, keys = TWINS[a.twin or "135M"]
    weights = layers * (hidden * hidden * 2 + 2 * hidden * hidden * keys // heads + 3 * hidden * inner)
    peak = matrix_rate(fastest_dtype(), seconds=2.0)
    for side, rate in medians.items():
        # Frozen weights: 2 per weight and token forward, 2 backward; the output layer is left out on both sides.
        done = 4 * weights * rate / 1e9
        print(f"{side}: {done:.0f} GFLOP/s of useful work, {done / peak:.0%} of this machine's measured {peak:.0f} GFLOP/s")


def generate(a):
    """Our batched generation against transformers' generate, one prompt after the other, in turn."""
    model = LanguageModel.load(base(a.twin))
    asked = [messages[:-1] for messages in chats(a)["train"]["messages"]][: a.prompts]
    plain = type(model.plain).from_pretrained(models.locate(base(a.twin)), dtype=model.plain.dtype).to(device()).eval()
    prompts = [model.tokenizer.apply_chat_template(c, add_generation_prompt=True, return_tensors="pt", return_dict=True) for c in asked]
    ratios, same = [], 0
    for pair in range(a.pairs):
        started, texts, count = time.perf_counter(), [], 0
        for prompt in prompts:
            with torch.inference_mode():
                kind = fastest_dtype()
                with torch.autocast(device(), getattr(torch, kind), enabled=kind != "float32"):
                    out = plain.generate(**prompt.to(device()), max_new_tokens=a.new, do_sample=False, pad_token_id=2)
            new = out[0, prompt["input_ids"].shape[1] :]
            count += len(new)
            texts.append(model.tokenizer.decode(new, skip_special_tokens=True))
        theirs = count / (time.perf_counter() - started)
        found = model.generate(asked, max_new_tokens=a.new)
        ours = model.last["new_tokens"] / model.last["seconds"]
        ratios.append(ours / theirs)
        same = sum(x == y for x, y in zip(found, texts, strict=True))
        print(f"pair {pair + 1}: one by one {theirs:.1f} tokens/s, batched {ours:.1f}: {ratios[-1]:.1f} times", flush=True)
    print(f"median {statistics.median(ratios):.1f} times; {same} of {len(asked)} texts equal to the letter (float ties differ)")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_sft", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=128, help="training chats")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=32, help="prompts to generate from")
    parser.add_argument("--new", type=int, default=48, help="new tokens per prompt")
    parser.add_argument("--told", action="store_true", help="the long system prompt that states all fields and values")
    parser.add_argument("--twin", choices=list(TWINS), help="random weights of this size")
    parser.add_argument("--only", choices=["train", "generate"])
    parser.add_argument("--side", choices=["stock", "ours"], help=argparse.SUPPRESS)
    a = parser.parse_args()
    a.passed = sys.argv[1:]
    if a.side:
        return one_run(a)
    print(f"{a.rows} chats, {a.epochs} epochs, batch {a.batch}, on {device()} in {fastest_dtype()}")
    if a.only != "generate":
        train(a)
    if a.only != "train":
        generate(a)


if __name__ == "__main__":
    main()
