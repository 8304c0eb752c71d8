"""Renders conversations with chat templates of seven kinds, and writes what `transformers` makes of them.

Pinned: transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1, Python 3.11.
Run: python templates.py   writes templates.json beside this file (any machine; no network)

The templates are written for this test in the manner of the families they are named after, with the marks
(`{% generation %}`) from which `transformers` makes masks. One byte-level tokenizer knows the control tokens of all.
"""
import json, pathlib
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def say(filters, end, space=""):
    """What the assistant writes, marked."""
    return "{% generation %}{{ " + space + "m.content" + filters + " }}" + end + "{% endgeneration %}"


def turns(before, after, said, each="", cue=""):
    """A template whose turns differ in who speaks."""
    return (each + "{% for m in messages %}" + before + "{% if m.role == 'assistant' %}" + said + "{% else %}"
            + "{{ m.content }}" + after + "{% endif %}{% endfor %}{% if add_generation_prompt %}" + cue + "{% endif %}")


FAMILIES = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", turns(
        "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n", "<|eot_id|>", say(" | trim", "<|eot_id|>"),
        "{{ bos_token }}", "<|start_header_id|>assistant<|end_header_id|>\n\n")),
    "chatml": (None, "<|im_end|>", turns(
        "<|im_start|>{{ m.role }}\n", "<|im_end|>\n", say("", "<|im_end|>") + "{{ '\\n' }}", "",
        "<|im_start|>assistant\n")),
    "gemma": ("<bos>", "<eos>", turns(
        "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n", "<end_of_turn>\n",
        say(" | trim", "<end_of_turn>") + "{{ '\\n' }}", "{{ bos_token }}", "<start_of_turn>model\n")),
    "mistral": ("<s>", "</s>", (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}"
        "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}"
        + say("", "{{ eos_token }}", "' ' + ") + "{% endif %}{% endfor %}")),
    "phi3": ("<s>", "<|endoftext|>", turns(
        "<|{{ m.role }}|>\n", "<|end|>\n", say("", "<|end|>") + "{{ '\\n' }}", "", "<|assistant|>\n")
        + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"),
    "command-r": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", turns(
        "<|START_OF_TURN_TOKEN|>{{ {'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>', "
        "'system': '<|SYSTEM_TOKEN|>'}[m.role] }}", "<|END_OF_TURN_TOKEN|>", say("", "<|END_OF_TURN_TOKEN|>"),
        "{{ bos_token }}", "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")),
    "zephyr": ("<s>", "</s>", turns(
        "<|{{ m.role }}|>\n", "{{ eos_token }}\n", say("", "{{ eos_token }}") + "{{ '\\n' }}", "", "<|assistant|>\n")
        .replace("<|{{ m.role }}|>", "[{{ m.role }}]").replace("<|assistant|>", "[assistant]")),
}
CONTROL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>",
           "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>", "[INST]", "[/INST]", "<|endoftext|>",
           "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>",
           "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"]
CONVERSATIONS = [
    [("user", "Hi"), ("assistant", "Hello there.")],
    [("system", "Be brief."), ("user", "مرحبا، كيف الحال؟"), ("assistant", "بخير، شكرا.")],
    [("user", "हिन्दी में नमस्ते?"), ("assistant", "नमस्ते"), ("user", "और ไทย?"), ("assistant", "สวัสดี 👋🏽\n")],
    [("user", "東京は?"), ("assistant", "首都です。"), ("user", "e\u0301 or é?"), ("assistant", "Both.\n\nReally."),
     ("user", "  spaces "), ("assistant", "kept or not")],
]


def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [text for conversation in CONVERSATIONS for _, text in conversation]
    bpe.train_from_iterator(texts * 3, trainers.BpeTrainer(
        vocab_size=360, special_tokens=CONTROL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return bpe


def cases(family, bpe):
    bos, eos, template = FAMILIES[family]
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=bos, eos_token=eos, chat_template=template)
    for conversation in CONVERSATIONS:
        messages = [{"role": role, "content": text} for role, text in conversation]
        try:
            text = fast.apply_chat_template(messages, tokenize=False)
        except Exception as error:
            yield {"messages": messages, "refused": str(error)}
            continue
        out = fast.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        prompt = fast.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        prompt_ids = fast.apply_chat_template(messages[:-1], tokenize=True, add_generation_prompt=True, return_dict=True)
        yield {"messages": messages, "text": text, "ids": out["input_ids"], "mask": out["assistant_masks"],
               "prompt": prompt, "prompt_ids": prompt_ids["input_ids"]}


if __name__ == "__main__":
    print(f"transformers {transformers.__version__}")
    bpe = tokenizer()
    whole = {"tokenizer": json.loads(bpe.to_str()), "families": {}}
    for family, (bos, eos, template) in FAMILIES.items():
        found = list(cases(family, bpe))
        whole["families"][family] = {"bos": bos, "eos": eos, "template": template, "cases": found}
        print(family, [case.get("text", case.get("refused")) for case in found][:1])
    text = json.dumps(whole, ensure_ascii=False).replace("{\"messages\"", "\n{\"messages\"")
    (pathlib.Path(__file__).parent / "templates.json").write_text(text + "\n")
