//! What an inference server tells about itself, and the number in flight that follows from it.

/// A server's own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::transport) struct ServerLoad {
    /// Requests that it works on.
    pub(in crate::transport) running: f64,
    /// Requests that it keeps waiting.
    pub(in crate::transport) waiting: f64,
    /// The share of its cache that is taken.
    pub(in crate::transport) cache: f64,
    /// Requests that lost their place, since its start.
    pub(in crate::transport) preemptions: f64,
}

impl ServerLoad {
    /// Reads the text of `/metrics` of vLLM, SGLang, llama.cpp or TGI; none where it says nothing about load.
    pub(in crate::transport) fn parse(text: &str) -> Option<Self> {
        let mut load = Self::default();
        let (mut tells_running, mut tells_waiting) = (false, false);
        for (name, value) in text.lines().filter_map(sample) {
            match name {
                "vllm:num_requests_running"
                | "sglang:num_running_reqs"
                | "llamacpp:requests_processing"
                | "tgi_batch_current_size" => {
                    load.running += value;
                    tells_running = true;
                }
                "vllm:num_requests_waiting"
                | "sglang:num_queue_reqs"
                | "llamacpp:requests_deferred"
                | "tgi_queue_size" => {
                    load.waiting += value;
                    tells_waiting = true;
                }
                "vllm:kv_cache_usage_perc" | "vllm:gpu_cache_usage_perc" | "sglang:token_usage" => {
                    load.cache = load.cache.max(value);
                }
                "vllm:num_preemptions_total" | "vllm:num_preemptions" => load.preemptions += value,
                _ => {}
            }
        }
        (tells_running && tells_waiting).then_some(load)
    }
}

/// The name and value of one line of Prometheus text.
fn sample(line: &str) -> Option<(&str, f64)> {
    let end = line.find(['{', ' '])?;
    let after = match line[end..].starts_with('{') {
        true => line.rfind('}')? + 1,
        false => end,
    };
    let value = line[after..].split_whitespace().next()?.parse().ok()?;
    (!line.starts_with('#')).then_some((&line[..end], value)).filter(|(_, value): &(_, f64)| value.is_finite())
}

/// The next limit after the server told `load`; one second passed since it told `last`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are small and positive")]
pub(super) fn follow(limit: usize, (last, load): (ServerLoad, ServerLoad), all_in_use: bool) -> usize {
    if load.cache > 0.97 && load.preemptions > last.preemptions {
        return limit * 9 / 10;
    }
    if load.waiting == 0.0 && all_in_use {
        return limit + (limit / 16).max(1);
    }
    if load.waiting > (0.1 * load.running).max(2.0) {
        let too_many = ((load.waiting - 0.05 * load.running) / 2.0).max(1.0) as usize;
        return limit.saturating_sub(too_many);
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::{ServerLoad, follow};

    #[test]
    fn the_numbers_of_each_server_are_read() {
        let vllm = "# HELP vllm:num_requests_running Running.\n\
                    vllm:num_requests_running{model_name=\"a {b} c\"} 12.0\n\
                    vllm:num_requests_waiting{model_name=\"a\"} 3.0\n\
                    vllm:kv_cache_usage_perc{model_name=\"a\"} 0.5\n\
                    vllm:num_preemptions_total{model_name=\"a\"} 7.0\n";
        let load = ServerLoad { running: 12.0, waiting: 3.0, cache: 0.5, preemptions: 7.0 };
        assert_eq!(ServerLoad::parse(vllm), Some(load));
        let llama = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 1\n";
        assert_eq!(ServerLoad::parse(llama), Some(ServerLoad { running: 4.0, waiting: 1.0, ..Default::default() }));
        assert_eq!(ServerLoad::parse("process_cpu_seconds_total 4\n<html>"), None);
    }

    #[test]
    fn the_limit_follows_the_queue() {
        let load = |running, waiting| ServerLoad { running, waiting, ..Default::default() };
        let next = |limit, now, all_in_use| follow(limit, (load(0.0, 0.0), now), all_in_use);
        assert_eq!(next(4, load(4.0, 0.0), true), 5);
        assert_eq!(next(160, load(160.0, 0.0), true), 170);
        assert_eq!(next(160, load(30.0, 0.0), false), 160);
        assert_eq!(next(160, load(100.0, 10.0), true), 160);
        assert_eq!(next(160, load(100.0, 60.0), true), 133);
        let (last, now) = (load(9.0, 0.0), ServerLoad { cache: 0.99, preemptions: 1.0, ..load(9.0, 0.0) });
        assert_eq!(follow(100, (last, now), true), 90);
    }
}
