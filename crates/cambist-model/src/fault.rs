//! Failures of the tensor library.

/// The tensor library refused a computation: memory ran out, or this crate has a fault.
///
/// The library's own type stays inside, so that users of this crate do not depend on it.
#[derive(Debug, thiserror::Error)]
#[error("tensor computation failed: {0}")]
pub struct TensorFault(pub(crate) candle_core::Error);

impl From<candle_core::Error> for TensorFault {
    fn from(error: candle_core::Error) -> Self {
        Self(error)
    }
}
