"""Loads a tokenizer that Cambist trained and encodes texts in sixteen scripts with it.

Pinned: tokenizers 0.23.3, transformers 5.23.0, Python 3.11.
Run: python tokenizer.py FOLDER          compares tokenizers and transformers with each other, prints ids as JSON
     python tokenizer.py FOLDER --save   writes them beside this file too, as tokenizer_ids.json

FOLDER holds the `tokenizer.json` and `tokenizer_config.json` that Cambist wrote (see ../tokenizer_scripts.rs); the texts are in
scripts.json. Cambist splits words with another regular-expression engine than these libraries do.
"""
import json, pathlib, sys
import transformers
from tokenizers import Tokenizer

here = pathlib.Path(__file__).parent
folder = pathlib.Path(sys.argv[1])
plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
auto = transformers.AutoTokenizer.from_pretrained(folder)
found = {}
for script, (_, held_out) in json.loads((here / "scripts.json").read_text()).items():
    ids = plain.encode(held_out, add_special_tokens=False).ids
    assert ids == auto(held_out, add_special_tokens=False)["input_ids"], script
    found[script] = {"ids": ids, "text": plain.decode(ids)}
    assert found[script]["text"] == auto.decode(ids, skip_special_tokens=True), script
chat = [{"role": "user", "content": "Naber?"}, {"role": "assistant", "content": "İyi."}]
found["chat"] = {"ids": auto.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"],
                 "text": auto.apply_chat_template(chat, tokenize=False)}
text = json.dumps(found, ensure_ascii=False)
if "--save" in sys.argv:
    (here / "tokenizer_ids.json").write_text(text.replace("}, \"", "},\n\"") + "\n")
print(text)
