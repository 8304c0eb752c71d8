//! Token counts in each dialect's members.

use serde_json::Value;

use super::at;
use crate::dialect::answer::{TokenUsage, UsageSource};

/// Reads the first pointer that holds a count.
pub(super) fn count(body: &Value, pointers: &[&str]) -> Option<u32> {
    let count = |pointer: &&str| at(body, pointer).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    pointers.iter().find_map(count)
}

/// Marks who counted: the server, when it gave either count.
pub(super) fn sourced(usage: TokenUsage) -> TokenUsage {
    let counted = usage.input.is_some() || usage.output.is_some();
    TokenUsage { source: if counted { UsageSource::Server } else { UsageSource::Unknown }, ..usage }
}

/// Reads `usage` of both dialects of OpenAI.
pub(super) fn openai(body: &Value) -> TokenUsage {
    sourced(TokenUsage {
        input: count(body, &["/usage/prompt_tokens", "/usage/input_tokens"]),
        output: count(body, &["/usage/completion_tokens", "/usage/output_tokens"]),
        cached_in: count(body, &["/usage/prompt_tokens_details/cached_tokens", "/usage/prompt_cache_hit_tokens"]),
        reasoning_out: count(body, &["/usage/completion_tokens_details/reasoning_tokens"]),
        source: UsageSource::Unknown,
    })
}

/// Reads `usage` of Anthropic, which counts what was written to and read from the cache apart.
pub(super) fn anthropic(body: &Value) -> TokenUsage {
    let read = count(body, &["/usage/cache_read_input_tokens"]);
    let written = count(body, &["/usage/cache_creation_input_tokens"]);
    let fresh = count(body, &["/usage/input_tokens"]);
    sourced(TokenUsage {
        input: fresh.map(|fresh| fresh.saturating_add(read.unwrap_or(0)).saturating_add(written.unwrap_or(0))),
        output: count(body, &["/usage/output_tokens"]),
        cached_in: read,
        reasoning_out: None,
        source: UsageSource::Unknown,
    })
}

/// Reads what Cohere bills, and what it counts where it bills nothing.
pub(super) fn cohere(body: &Value) -> TokenUsage {
    sourced(TokenUsage {
        input: count(body, &["/usage/billed_units/input_tokens", "/usage/tokens/input_tokens"]),
        output: count(body, &["/usage/billed_units/output_tokens", "/usage/tokens/output_tokens"]),
        cached_in: count(body, &["/usage/cached_tokens"]),
        reasoning_out: None,
        source: UsageSource::Unknown,
    })
}
