//! In which numbers a model folder keeps its weights; in memory they are always f32.

use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The type of the numbers in a model folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32 bits: what training changed is kept to the last bit. The default.
    #[default]
    F32,
    /// 16 bits with the range of f32 and 8 significant bits.
    Bf16,
    /// 16 bits with 11 significant bits, up to 65504.
    F16,
}

impl Dtype {
    /// Whether it is the default.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Returns its name in `config.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    /// Returns f32 numbers rounded to this type, to even on ties; none when one of them lies beyond it.
    pub(crate) fn round(self, tensor: &Tensor) -> Result<Option<Tensor>> {
        let dtype = match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        };
        let rounded = tensor.to_dtype(dtype)?;
        let is_finite = |tensor: &Tensor| -> Result<bool> {
            let largest = tensor.to_dtype(DType::F32)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            Ok(largest.is_finite())
        };
        Ok((self.is_f32() || is_finite(&rounded)?).then_some(rounded))
    }
}
