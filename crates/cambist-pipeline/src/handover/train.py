"""Trains a model on pairs of answers that lie beside this file in tokens; train.sh starts it."""
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, ScriptArguments, TrlParser, get_peft_config
from trl.experimental.orpo import ORPOConfig, ORPOTrainer


class TokenTrainer(ORPOTrainer):
    """Takes every row as the tokens that it holds, with labels of -100 where none counts."""

    def tokenize_row(self, feature, model=None):
        sides = ("chosen", "rejected")
        return {f"{side}_attention_mask": [1] * len(feature[f"{side}_input_ids"]) for side in sides}


if __name__ == "__main__":
    script, args, model = TrlParser((ScriptArguments, ORPOConfig, ModelConfig)).parse_args_and_config()
    rows = load_dataset(script.dataset_name)
    trainer = TokenTrainer(
        model=AutoModelForCausalLM.from_pretrained(model.model_name_or_path, dtype=model.dtype),
        args=args,
        train_dataset=rows[script.dataset_train_split],
        eval_dataset=rows[script.dataset_test_split] if args.eval_strategy != "no" else None,
        processing_class=AutoTokenizer.from_pretrained(model.model_name_or_path),
        peft_config=get_peft_config(model),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model(args.output_dir)
