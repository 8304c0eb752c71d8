//! How `config.json` describes rotary angles: `rope_parameters` of `transformers` 5, for the model or for each type of
//! layer, or `rope_theta` and `rope_scaling` of 4; both name the type `rope_type` or, in old files, `type`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ConfigError, HuggingFace};
use crate::{
    family::{Family, Rotation},
    model_files::JsonObject,
    rope::{LongRope, RopeConfig, RopeScaling},
};

/// Reads the angles of layers without a window and, if those have other ones, of layers with one.
pub(super) fn read(
    config: &HuggingFace,
    family: &Family,
    head_dim: usize,
) -> Result<(RopeConfig, Option<RopeConfig>), ConfigError> {
    let settings = config.rope_parameters.clone().or_else(|| config.rope_scaling.clone()).unwrap_or_default();
    let read = |settings: JsonObject, theta: Option<f64>| one(settings, (config, family), (head_dim, theta));
    if family.rotation != Rotation::ByWindow {
        return Ok((read(settings, config.rope_theta)?, None));
    }
    let nested = |kind: &str| settings.get(kind).and_then(Value::as_object).cloned();
    let is_nested = config.rope_parameters.is_some();
    let full = nested("full_attention").or((!is_nested).then(|| settings.clone())).unwrap_or_default();
    let sliding = nested("sliding_attention").unwrap_or_default();
    Ok((read(full, config.rope_theta)?, Some(read(sliding, config.rope_local_base_freq)?)))
}

fn one(
    mut settings: JsonObject,
    (config, family): (&HuggingFace, &Family),
    (head_dim, theta): (usize, Option<f64>),
) -> Result<RopeConfig, ConfigError> {
    let theta = settings.remove("rope_theta").and_then(|v| v.as_f64()).or(theta).unwrap_or(10_000.0);
    let share = settings.remove("partial_rotary_factor").and_then(|v| v.as_f64()).or(config.partial_rotary_factor);
    let share = share.unwrap_or(1.0);
    if share != 1.0 && !family.knows("partial_rotary_factor") {
        let (key, value) = ("partial_rotary_factor", share.to_string());
        return Err(ConfigError::Unsupported { key, value, expected: "1" });
    }
    if let Some(old) = settings.remove("type") {
        settings.entry("rope_type").or_insert(old);
    }
    let kind = settings.entry("rope_type").or_insert_with(|| "default".into());
    if family.knows("original_max_position_embeddings") && ["su", "yarn"].map(Value::from).contains(kind) {
        *kind = "longrope".into(); // names of old Phi-3 files
    }
    let original = config.original_max_position_embeddings;
    if original.is_some() || !settings.contains_key("original_max_position_embeddings") {
        let positions = original.unwrap_or(config.max_position_embeddings as f64);
        settings.insert("original_max_position_embeddings".to_owned(), json!(positions));
    }
    let shown = Value::Object(settings.clone()).to_string();
    let scaling = RopeScaling::deserialize(Value::Object(settings)).map_err(|_| ConfigError::Rope(shown.clone()))?;
    let width = (head_dim as f64 * share) as usize;
    if width == 0 || !width.is_multiple_of(2) || width > head_dim {
        return Err(ConfigError::HeadDim(width));
    }
    match &scaling {
        RopeScaling::LongRope(LongRope { short_factor, long_factor, .. })
            if short_factor.len() != width / 2 || long_factor.len() != width / 2 =>
        {
            Err(ConfigError::Divisors { short: short_factor.len(), long: long_factor.len(), expected: width / 2 })
        }
        _ => {
            let (interleaved, max_positions) = (family.interleaved, config.max_position_embeddings);
            Ok(RopeConfig { theta, width, interleaved, max_positions, scaling })
        }
    }
}
