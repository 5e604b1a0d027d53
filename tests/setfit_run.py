"""SetFit's side of tests.bench_fewshot; runs in the throw-away environment: JSON on standard input, JSON in a file.

In: folder (the encoder), texts, labels, test (texts), seed, iterations, steps (-1: all), out.
Out: seconds (CPU seconds of training: encoder and head), predicted (one label per test text), predicted_c10 (the same, head with C=10).
"""

import json
import sys
import time
from pathlib import Path

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression
from transformers import set_seed

job = json.load(sys.stdin)
set_seed(job["seed"])
words = Transformer(job["folder"])
width = words.get_embedding_dimension()
body = SentenceTransformer(modules=[words, Pooling(width, "mean"), Normalize()], device="cpu")
model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000), labels=sorted(set(job["labels"])))
number = {label: i for i, label in enumerate(model.labels)}
arguments = TrainingArguments(
    output_dir=str(Path(job["out"]).parent / "setfit"),
    num_iterations=job["iterations"],  # pairs per text: as many alike, as many unlike
    batch_size=16,
    num_epochs=1,
    body_learning_rate=2e-5,
    max_steps=job["steps"],
    save_strategy="no",
    report_to="none",
    seed=job["seed"],
)
train = Dataset.from_dict({"text": job["texts"], "label": [number[label] for label in job["labels"]]})
trainer = Trainer(model=model, args=arguments, train_dataset=train)
started = time.process_time()
trainer.train()
seconds = time.process_time() - started
predicted = [str(label) for label in model.predict(job["test"], as_numpy=True)]
# The same tuned encoder under our head's setting: how much of a difference is the head's alone.
read_out = LogisticRegression(C=10, max_iter=1000).fit(body.encode(job["texts"]), job["labels"])
other = read_out.predict(body.encode(job["test"])).tolist()
Path(job["out"]).write_text(json.dumps({"seconds": seconds, "predicted": predicted, "predicted_c10": other}))
