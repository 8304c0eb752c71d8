//! Chance that is a pure function of what it is drawn for.

use serde_json::Value;

/// 64 bits that everything so far has gone into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw(u64);

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ FIRST) * u128::from(b | 1);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Draw {
    /// Returns the draw of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(fold(seed.wrapping_add(FIRST), FACTOR)).with(seed)
    }

    /// Adds a number.
    pub(crate) fn with(self, number: u64) -> Self {
        Self(fold(self.0.rotate_left(23) ^ number, FACTOR))
    }

    /// Adds bytes and their number.
    pub(crate) fn with_bytes(self, bytes: &[u8]) -> Self {
        let mut draw = self;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            draw = draw.with(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        draw.with(u64::from_le_bytes(last)).with(bytes.len() as u64)
    }

    /// Adds a text.
    pub(crate) fn with_text(self, text: &str) -> Self {
        self.with_bytes(text.as_bytes())
    }

    /// Adds a JSON value; the order of an object's members does not matter.
    pub(crate) fn with_json(self, value: &Value) -> Self {
        match value {
            Value::Null => self.with(1),
            Value::Bool(flag) => self.with(2 + u64::from(*flag)),
            Value::Number(number) => self.with(number.as_f64().map_or(4, f64::to_bits)),
            Value::String(text) => self.with_text(text),
            Value::Array(items) => items.iter().fold(self.with(5), Self::with_json).with(items.len() as u64),
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| Self(6).with_text(name).with_json(value).0;
                self.with(members.iter().map(member).fold(7, u64::wrapping_add))
            }
        }
    }

    /// The bits.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Returns a number of 0 to below 1, uniform.
    pub(crate) fn unit(self) -> f64 {
        (self.with(8).0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number from 0 to `n - 1`, uniform; 0 when `n` is 0.
    pub(crate) fn below(self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Returns a number of mean 0 and deviation 1, normal.
    pub(crate) fn normal(self) -> f64 {
        let radius = (-2.0 * (1.0 - self.with(9).unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.with(10).unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_have_no_order_and_items_have() {
        let draw = Draw::new(3);
        assert_eq!(draw.with_json(&json!({"a": 1, "b": [2]})), draw.with_json(&json!({"b": [2], "a": 1})));
        assert_ne!(draw.with_json(&json!([1, 2])), draw.with_json(&json!([2, 1])));
        assert_ne!(draw.with_json(&json!({"a": 1})), draw.with_json(&json!({"a": 2})));
    }

    #[test]
    fn draws_are_spread() {
        let units: Vec<f64> = (0..4000).map(|i| Draw::new(i).unit()).collect();
        let mean = units.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
        let normals: Vec<f64> = (0..4000).map(|i| Draw::new(i).normal()).collect();
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / 4000.0;
        assert!((variance - 1.0).abs() < 0.1, "variance {variance}");
    }
}
