//! The tensors of a GGUF file: numbers in f32, under the names and in the order of `transformers`.

use std::collections::BTreeMap;

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use serde_json::{Value as Json, json};

use super::{
    GgufError,
    describe::Architecture,
    header::{Header, Stored},
};
use crate::model_files::JsonObject;

/// The types that are read: llama.cpp's number, its name, candle's.
const TYPES: [(u32, &str, GgmlDType); 13] = [
    (0, "F32", GgmlDType::F32),
    (1, "F16", GgmlDType::F16),
    (2, "Q4_0", GgmlDType::Q4_0),
    (3, "Q4_1", GgmlDType::Q4_1),
    (6, "Q5_0", GgmlDType::Q5_0),
    (7, "Q5_1", GgmlDType::Q5_1),
    (8, "Q8_0", GgmlDType::Q8_0),
    (10, "Q2_K", GgmlDType::Q2K),
    (11, "Q3_K", GgmlDType::Q3K),
    (12, "Q4_K", GgmlDType::Q4K),
    (13, "Q5_K", GgmlDType::Q5K),
    (14, "Q6_K", GgmlDType::Q6K),
    (30, "BF16", GgmlDType::BF16),
];

/// Names all types that are read.
pub(super) fn supported() -> String {
    TYPES.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Tensors that stand once, and their names in `transformers`.
const WHOLE: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Tensors of each layer, and their names there; the norm before the feed-forward block has another name where norms
/// stand on both sides of a block.
const OF_LAYER: [(&str, &str); 13] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// Divisors of angles, which become part of the config.
const DIVISORS: &str = "rope_freqs.weight";

/// Returns all tensors of a file.
pub(super) fn read(header: &Header<'_>, config: &JsonObject) -> Result<BTreeMap<String, Tensor>, GgufError> {
    let architecture = Architecture::of(header)?;
    let mut all = BTreeMap::new();
    for (name, stored) in header.tensors.iter().filter(|(name, _)| *name != DIVISORS) {
        let theirs = renamed(name, architecture).ok_or_else(|| GgufError::Unexpected(name.clone()))?;
        let tensor = numbers(name, stored)?;
        if all.insert(theirs, put_back((name, tensor), architecture, config)?).is_some() {
            return Err(GgufError::Unexpected(name.clone()));
        }
    }
    Ok(all)
}

/// Returns a tensor's name in `transformers`.
fn renamed(name: &str, architecture: &Architecture) -> Option<String> {
    let (module, what) = name.rsplit_once('.')?;
    let find = |names: &[(&str, &'static str)], module: &str| {
        names.iter().find(|(own, _)| *own == module).map(|(_, theirs)| *theirs)
    };
    let Some((layer, module)) = module.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return Some(format!("{}.{what}", find(&WHOLE, module)?));
    };
    let layer: usize = layer.parse().ok()?;
    let theirs = match (module, architecture.gains_from_one) {
        ("ffn_norm", true) => "pre_feedforward_layernorm",
        _ => find(&OF_LAYER, module)?,
    };
    Some(format!("model.layers.{layer}.{theirs}.{what}"))
}

/// Undoes what llama.cpp's conversion does to a tensor.
fn put_back(
    (name, tensor): (&str, Tensor),
    architecture: &Architecture,
    config: &JsonObject,
) -> Result<Tensor, GgufError> {
    if architecture.gains_from_one && name.ends_with("norm.weight") {
        return Ok((tensor - 1.0)?);
    }
    let heads = match architecture.is_permuted {
        true if name.contains(".attn_q.") => config.get("num_attention_heads"),
        true if name.contains(".attn_k.") => config.get("num_key_value_heads"),
        _ => None,
    };
    let n_heads = heads.and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
    let Some(n_heads) = n_heads.filter(|n| *n > 0) else { return Ok(tensor) };
    // A head's two halves stand interleaved: [heads, half, 2, columns] back to [heads, 2, half, columns].
    let shape = tensor.dims().to_vec();
    let (rows, columns) = (shape.first().copied().unwrap_or(0), shape.get(1).copied().unwrap_or(1));
    if rows % (2 * n_heads) != 0 {
        return Err(GgufError::Unsupported {
            key: name.to_owned(),
            value: format!("{rows} rows"),
            expected: format!("an even number for each of {n_heads} heads"),
        });
    }
    let halves = tensor.reshape((n_heads, rows / (2 * n_heads), 2, columns))?;
    Ok(halves.transpose(1, 2)?.contiguous()?.reshape(shape)?)
}

/// Returns a tensor's numbers in f32.
pub(super) fn numbers(name: &str, stored: &Stored<'_>) -> Result<Tensor, GgufError> {
    let broken = |what: String| GgufError::Numbers { name: name.to_owned(), what };
    let known = TYPES.iter().find(|(number, ..)| *number == stored.kind);
    let (_, kind, dtype) = known.ok_or_else(|| GgufError::Type { name: name.to_owned(), found: stored.kind })?;
    let n_numbers = stored.shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    let n_numbers = n_numbers.ok_or_else(|| broken(format!("{:?} numbers are too many", stored.shape)))?;
    let block = dtype.block_size();
    let width = stored.shape.last().copied().unwrap_or(1);
    if n_numbers == 0 || width % block != 0 {
        return Err(broken(format!("{:?} numbers do not make blocks of {block} as {kind} has them", stored.shape)));
    }
    let n_bytes = (n_numbers / block).checked_mul(dtype.type_size());
    let bytes = n_bytes.and_then(|n| stored.bytes.get(..n));
    let bytes = bytes.ok_or_else(|| {
        broken(format!("{:?} numbers as {kind} go beyond the file's end; it is cut off", stored.shape))
    })?;
    let plain = match dtype {
        GgmlDType::F32 => Some(DType::F32),
        GgmlDType::F16 => Some(DType::F16),
        GgmlDType::BF16 => Some(DType::BF16),
        _ => None,
    };
    if let Some(plain) = plain {
        let tensor = Tensor::from_raw_buffer(bytes, plain, &stored.shape, &Device::Cpu)?;
        return Ok(tensor.to_dtype(DType::F32)?);
    }
    // Blocks are read in place, which takes bytes that begin where the allocator puts them.
    let bytes = bytes.to_vec();
    let blocks = qtensor_from_ggml(*dtype, &bytes, stored.shape.clone(), &Device::Cpu)?;
    Ok(blocks.dequantize(&Device::Cpu)?)
}

/// How far divisors may be from those that are computed, as a share.
const TOLERANCE: f64 = 1e-4;

/// Finds the numbers of Llama 3's scaling (factor, low and high, first context) that divisors were made by: files keep the
/// result alone. Those that were published are tried.
pub(super) fn llama3(stored: &Stored<'_>, (head_dim, theta): (u64, f64)) -> Result<Json, GgufError> {
    let found: Vec<f32> = numbers(DIVISORS, stored)?.flatten_all()?.to_vec1()?;
    for factor in [8.0, 32.0, 4.0, 16.0, 64.0] {
        let fits = found.iter().enumerate().all(|(i, found)| {
            let expected = divisor((2 * i) as f64 / head_dim as f64, (theta, factor));
            (f64::from(*found) / expected - 1.0).abs() < TOLERANCE
        });
        if fits && found.len() as u64 == head_dim / 2 {
            return Ok(json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW, "high_freq_factor": HIGH,
                "original_max_position_embeddings": CONTEXT,
            }));
        }
    }
    Err(GgufError::Unsupported {
        key: DIVISORS.to_owned(),
        value: format!("{} divisors", found.len()),
        expected: "those of Llama 3.1 and its successors".to_owned(),
    })
}

const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const CONTEXT: f64 = 8192.0;

/// The divisor of the angle whose frequency is `theta` to the power of minus `exponent`.
fn divisor(exponent: f64, (theta, factor): (f64, f64)) -> f64 {
    let wavelength = 2.0 * std::f64::consts::PI * theta.powf(exponent);
    match wavelength {
        short if short < CONTEXT / HIGH => 1.0,
        long if long > CONTEXT / LOW => factor,
        between => {
            let smooth = (CONTEXT / between - LOW) / (HIGH - LOW);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf").join(name)).unwrap()
    }

    /// Blocks of random bytes, as the `gguf` package reads them (`golden/gguf_models.py`).
    #[test]
    fn blocks_of_every_type_are_what_another_program_reads() {
        let bytes = golden("blocks.gguf");
        let header = Header::read(&bytes).unwrap();
        let expected: BTreeMap<String, Vec<f32>> = serde_json::from_slice(&golden("blocks.json")).unwrap();
        assert_eq!(expected.len(), TYPES.len() - 1, "all but F32");
        for (name, theirs) in &expected {
            let ours: Vec<f32> =
                numbers(name, &header.tensors[name]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
            let gap = ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs()));
            assert!(gap <= 1e-6 * largest, "{name}: {gap} of {largest}");
        }
    }

    #[test]
    fn sizes_that_lie_and_unknown_types_are_refused() {
        let stored = |shape: &[usize], kind| Stored { shape: shape.to_vec(), kind, bytes: &[0; 64] };
        let fails = |shape: &[usize], kind| numbers("x", &stored(shape, kind)).unwrap_err().to_string();
        assert!(fails(&[2, 32], 0).contains("go beyond the file's end"));
        assert!(fails(&[usize::MAX, 2], 0).contains("are too many"));
        assert!(fails(&[usize::MAX], 0).contains("go beyond the file's end"));
        assert!(fails(&[2, 16], 8).contains("do not make blocks of 32 as Q8_0 has them"));
        assert!(fails(&[0, 32], 8).contains("do not make blocks"));
        assert!(fails(&[32], 20).contains("has the type number 20; read are F32, F16"));
        assert!(numbers("x", &stored(&[1, 32], 8)).is_ok());
    }

    #[test]
    fn names_are_those_of_transformers() {
        let name = |name: &str, gains_from_one| {
            let file =
                [("llama", false), ("gemma2", true)].into_iter().find(|(_, own)| *own == gains_from_one).unwrap().0;
            let metadata = [("general.architecture".to_owned(), super::super::header::Value::Text(file.to_owned()))];
            let header = Header { metadata: BTreeMap::from(metadata), tensors: BTreeMap::new() };
            renamed(name, Architecture::of(&header).unwrap())
        };
        assert_eq!(name("blk.11.ffn_norm.weight", false).unwrap(), "model.layers.11.post_attention_layernorm.weight");
        assert_eq!(name("blk.11.ffn_norm.weight", true).unwrap(), "model.layers.11.pre_feedforward_layernorm.weight");
        assert_eq!(name("output.weight", false).unwrap(), "lm_head.weight");
        assert_eq!(name("blk.0.attn_q.bias", false).unwrap(), "model.layers.0.self_attn.q_proj.bias");
        assert_eq!(name("blk.0.ffn_gate_exps.weight", false), None);
        assert_eq!(name("blk.x.ffn_up.weight", false), None);
    }
}
