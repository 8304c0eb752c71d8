"""The bare calls of calls_speed.rs with Python's clients: openai 3.57.0 (AsyncOpenAI over httpx2) and aiohttp 3.14.5, Python 3.11.

Run: cambist mock --port 8123 &
     python calls_speed.py http://127.0.0.1:8123 N_CALLS IN_FLIGHT
"""
import asyncio, sys, time

import aiohttp, httpx2, openai

url, n_calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def body(at):
    text = f"Question {at}: " + "why does the moon rise later every day? " * 24
    return {"model": "bare", "messages": [{"role": "user", "content": text}], "max_tokens": 256}


async def pump(name, one):
    """Keeps as many calls in flight as asked for until all are made."""
    numbers = iter(range(n_calls))

    async def worker():
        for at in numbers:
            await one(at)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{name}: {n_calls / seconds:.0f}/s, {1e6 * cpu / n_calls:.0f} us of processor time a call", flush=True)


async def main():
    limits = httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    http = httpx2.AsyncClient(limits=limits, timeout=600)
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", http_client=http)

    async def by_openai(at):
        return len((await client.chat.completions.create(**body(at))).choices[0].message.content)

    await pump("openai", by_openai)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def by_aiohttp(at):
            async with session.post(f"{url}/v1/chat/completions", json=body(at)) as reply:
                return len((await reply.json())["choices"][0]["message"]["content"])

        await pump("aiohttp", by_aiohttp)


asyncio.run(main())
