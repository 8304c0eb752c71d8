//! A server that speaks every dialect, with deterministic answers and every fault that servers have.
