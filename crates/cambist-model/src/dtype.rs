//! In which numbers weights are kept: in a model folder, and in memory by a model for inference. What is computed is f32.

use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The type of the numbers that weights are kept in.
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
    pub fn name(self) -> &'static str {
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

    /// Returns the narrowest type that holds all numbers exactly; bf16 before f16.
    pub(crate) fn narrowest(numbers: &[f32]) -> Self {
        let mut narrow = [Self::Bf16, Self::F16].into_iter();
        narrow.find(|dtype| numbers.iter().all(|x| dtype.holds(*x))).unwrap_or(Self::F32)
    }

    /// Whether a number is the same in this type.
    fn holds(self, x: f32) -> bool {
        self.number(self.bits(x)).to_bits() == x.to_bits()
    }

    /// Returns the bits of a number that this type holds exactly.
    pub(crate) fn bits(self, x: f32) -> u32 {
        let bits = x.to_bits();
        match self {
            Self::F32 => bits,
            Self::Bf16 => bits >> 16,
            Self::F16 => {
                let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
                let number = match magnitude {
                    0..F16_SMALLEST => (x.abs() * F16_STEPS) as u32,
                    F16_SMALLEST..F16_BEYOND => (magnitude - F16_BIAS) >> 13,
                    _ => 0,
                };
                sign | number
            }
        }
    }

    /// Returns the number that the lower bits of a word say.
    pub(crate) fn number(self, word: u32) -> f32 {
        match self {
            Self::F32 => f32::from_bits(word),
            Self::Bf16 => f32::from_bits(word << 16),
            Self::F16 => {
                let (sign, magnitude) = ((word & 0x8000) << 16, (word & 0x7fff) << 13);
                let number = match magnitude {
                    0..F16_STEP => f32::from_bits(magnitude + F16_SMALLEST) - f32::from_bits(F16_SMALLEST),
                    _ => f32::from_bits(magnitude + F16_BIAS),
                };
                f32::from_bits(sign | number.to_bits())
            }
        }
    }
}

/// What is between the exponents of f32 and f16, in the bits of an f32.
const F16_BIAS: u32 = 112 << 23;

/// The smallest number of f16 with a leading one, and the first beyond its largest, in the bits of an f32.
const F16_SMALLEST: u32 = 113 << 23;
const F16_BEYOND: u32 = 143 << 23;

/// Magnitudes below have no leading one, in the bits of an f16 moved up by 13.
const F16_STEP: u32 = 1 << 23;

/// How many steps f16 has between 0 and 1 where there is no leading one.
const F16_STEPS: f32 = 16_777_216.0;

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn every_number_of_sixteen_bits_is_the_one_that_candle_widens() {
        for (dtype, stored) in [(Dtype::Bf16, DType::BF16), (Dtype::F16, DType::F16)] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let all = Tensor::from_raw_buffer(&bytes, stored, &[1 << 16], &Device::Cpu).unwrap();
            let all = all.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
            for (word, x) in (0..).zip(all).filter(|(_, x)| x.is_finite()) {
                assert_eq!(dtype.number(word).to_bits(), x.to_bits(), "{dtype:?} {word}");
                assert!(dtype.bits(x) == word && dtype.holds(x), "{dtype:?} {x}");
            }
        }
    }

    #[test]
    fn the_narrowest_type_loses_nothing() {
        assert_eq!(Dtype::narrowest(&[1.0, -0.0, 2f32.powi(100), 0.15625]), Dtype::Bf16);
        assert_eq!(Dtype::narrowest(&[1.0, 1.001_953_1, -65504.0, 5.960_464_5e-8]), Dtype::F16);
        for beyond in [0.1, 65520.0, 65536.0, 1e30 + 1e23, 2.980_232_2e-8, 1.000_000_1] {
            assert_eq!(Dtype::narrowest(&[1.001_953_1, beyond]), Dtype::F32, "{beyond}");
        }
    }
}
