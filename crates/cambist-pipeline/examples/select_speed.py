"""The argmax of select_speed.rs with its peers, on the same tables. polars 1.31.0, pandas 2.3.1, duckdb 1.3.2, pyarrow 21.0.0.

Run: python select_speed.py polars|pandas|duckdb PROMPTS COMPLETIONS OUT     (folders as `select_speed ... make` prints them)

Reads scores, takes the best of each prompt, joins its text and its prompt, writes the kept rows as Parquet (Zstandard 3).
"""
import os, resource, sys, time

peer, prompts, completions, out = sys.argv[1:]
prompts, scores, completions = f"{prompts}/prompts.parquet", f"{completions}/scores.parquet", f"{completions}/completions.parquet"
KEY = ["prompt_id", "teacher", "sample"]


def with_polars():
    import polars as pl

    best = (
        pl.scan_parquet(scores)
        .select(KEY + ["value"])
        .sort(["value", "teacher", "sample"], descending=[True, False, False])
        .unique("prompt_id", keep="first", maintain_order=False)
    )
    kept = best.join(pl.scan_parquet(completions).select(KEY + ["text"]), on=KEY)
    asked = pl.scan_parquet(prompts).select("id", "source_id", "language", "source", "messages")
    rows = asked.join(kept, left_on="id", right_on="prompt_id", maintain_order="left")
    rows.collect().write_parquet(out, compression="zstd", compression_level=3)


def with_polars_group():
    import polars as pl

    best = pl.scan_parquet(scores).select(KEY + ["value"]).group_by("prompt_id").agg(
        pl.all().gather(pl.col("value").arg_max()).first()
    )
    kept = best.join(pl.scan_parquet(completions).select(KEY + ["text"]), on=KEY)
    asked = pl.scan_parquet(prompts).select("id", "source_id", "language", "source", "messages")
    rows = asked.join(kept, left_on="id", right_on="prompt_id", maintain_order="left")
    rows.collect(engine="streaming").write_parquet(out, compression="zstd", compression_level=3)


def with_pandas():
    import pandas as pd

    s = pd.read_parquet(scores, columns=KEY + ["value"])
    best = s.loc[s.groupby("prompt_id", sort=False)["value"].idxmax()]
    kept = best.merge(pd.read_parquet(completions, columns=KEY + ["text"]), on=KEY)
    asked = pd.read_parquet(prompts, columns=["id", "source_id", "language", "source", "messages"])
    asked.merge(kept, left_on="id", right_on="prompt_id").to_parquet(out, compression="zstd", compression_level=3)


def with_duckdb():
    import duckdb

    duckdb.sql(f"""
        COPY (
            WITH best AS (
                SELECT prompt_id, max(value) AS value, arg_max(teacher, value) AS teacher, arg_max(sample, value) AS sample
                FROM '{scores}' GROUP BY prompt_id)
            SELECT p.id, p.source_id, p.language, p.source, p.messages, b.teacher, b.value, c.text
            FROM '{prompts}' p JOIN best b ON p.id = b.prompt_id
            JOIN '{completions}' c ON c.prompt_id = b.prompt_id AND c.teacher = b.teacher AND c.sample = b.sample)
        TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)""")


began = time.time()
{"polars": with_polars, "polars-group": with_polars_group, "pandas": with_pandas, "duckdb": with_duckdb}[peer]()
use = resource.getrusage(resource.RUSAGE_SELF)
print(
    f"{peer}: wall {time.time() - began:.1f} s, CPU {use.ru_utime + use.ru_stime:.1f} s with imports,"
    f" peak {use.ru_maxrss * 1024 / 1e6:.0f} MB, {os.path.getsize(out) / 1e6:.0f} MB written"
)
