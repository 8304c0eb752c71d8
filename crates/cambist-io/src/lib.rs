//! Cambist.
