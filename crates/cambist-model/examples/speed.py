"""The work of speed.rs in PyTorch (eager, SDPA, fused AdamW) and `transformers`. torch 2.15.0, transformers 5.23.0.

Run: python speed.py train | tiny | generate FOLDER     (FOLDER as written by `speed generate FOLDER`)
"""
import resource, statistics, sys, time
import torch, torch.nn as nn, torch.nn.functional as F


class Block(nn.Module):
    def __init__(s, d, heads, kv, ff):
        super().__init__()
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        s.heads, s.kv, s.hd = heads, kv, d // heads
        s.n1, s.n2 = nn.RMSNorm(d, 1e-5), nn.RMSNorm(d, 1e-5)
        s.q, s.k, s.v, s.o = linear(d, d), linear(d, kv * s.hd), linear(d, kv * s.hd), linear(d, d)
        s.g, s.u, s.d = linear(d, ff), linear(d, ff), linear(ff, d)

    def forward(s, h, cos, sin):
        b, t, _ = h.shape
        a = s.n1(h)
        split = lambda x, n: x.view(b, t, n, s.hd).transpose(1, 2)

        def rope(x):
            x1, x2 = x.chunk(2, -1)
            return torch.cat((x1 * cos[:t] - x2 * sin[:t], x2 * cos[:t] + x1 * sin[:t]), -1)

        q, k, v = rope(split(s.q(a), s.heads)), rope(split(s.k(a), s.kv)), split(s.v(a), s.kv)
        k, v = (x.repeat_interleave(s.heads // s.kv, 1) if s.heads > s.kv else x for x in (k, v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + s.o(o.transpose(1, 2).reshape(b, t, -1))
        a = s.n2(h)
        return h + s.d(F.silu(s.g(a)) * s.u(a))


class Model(nn.Module):
    def __init__(s, vocab, d, layers, heads, kv, ff, tied):
        super().__init__()
        s.emb = nn.Embedding(vocab, d)
        s.blocks = nn.ModuleList(Block(d, heads, kv, ff) for _ in range(layers))
        s.norm, s.head = nn.RMSNorm(d, 1e-5), nn.Linear(d, vocab, bias=False)
        if tied:
            s.head.weight = s.emb.weight
        hd = d // heads
        angle = torch.arange(512)[:, None] / 10000 ** (torch.arange(0, hd, 2)[None] / hd)
        s.register_buffer("cos", angle.cos())
        s.register_buffer("sin", angle.sin())

    def forward(s, x, y):
        h = s.emb(x)
        for block in s.blocks:
            h = block(h, s.cos, s.sin)
        return F.cross_entropy(s.head(s.norm(h)).flatten(0, 1), y.flatten(), ignore_index=-100)


start_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def steps(model, batches, lr):
    opt = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    times, tokens = [], []
    for i, (x, y, n) in enumerate(batches):
        start = time.perf_counter()
        opt.zero_grad()
        loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        loss.item()
        if i:
            times.append(time.perf_counter() - start)
            tokens.append(n)
    ms = statistics.median(times)
    print(f"pytorch: {sum(p.numel() for p in model.parameters())} parameters, {ms * 1e3:.2f} ms a step (median), "
          f"{statistics.mean(tokens) / ms:.0f} tokens/s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most, "
          f"{start_mb:.0f} MB of them before the model")


def train():
    def batch():
        d = torch.randint(0, 8000, (16, 257))
        return d[:, :-1], d[:, 1:], 16 * 256
    steps(Model(8000, 256, 6, 8, 4, 768, False), [batch() for _ in range(9)], 3e-4)


def tiny():
    torch.set_num_threads(1)

    def batch():
        lengths = [30 + int(torch.randint(0, 160, ())) * 7 % 41 for _ in range(16)]
        x, y = torch.zeros(16, max(lengths) - 1, dtype=torch.long), torch.full((16, max(lengths) - 1), -100)
        for row, n in enumerate(lengths):
            d = torch.randint(0, 320, (n,))
            x[row, : n - 1] = d[:-1]
            y[row, int(n * 2 / 3) - 1 : n - 1] = d[int(n * 2 / 3) :]
        return x, y, sum(lengths) - 16
    steps(Model(320, 64, 2, 4, 4, 176, True), [batch() for _ in range(100)], 4e-3)


def generate(folder):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for size in (1, 16):
        prompt = torch.randint(8, 8000, (size, 63))
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            with torch.no_grad():
                model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=64,
                               max_new_tokens=64)
            best = min(best, time.perf_counter() - start)
        print(f"transformers: batch {size}, {64 * size} tokens, {64 * size / best:.0f} tokens/s (best of 3)")


{"train": train, "tiny": tiny, "generate": lambda: generate(sys.argv[2])}[sys.argv[1]]()
