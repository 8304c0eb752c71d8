//! Loops over slices that the compiler turns into the widest vectors of the machine at hand.
//!
//! Callers wrap their loops in [`vectorised`]; everything here is inlined into it. Sums run over [`LANES`] partial
//! sums in a fixed order, so a result depends on the numbers alone, never on threads. Loops are `for` loops: the
//! closures of iterator adapters would be compiled apart, without the vector unit.

/// Partial sums that a reduction keeps: two AVX2 registers.
pub(crate) const LANES: usize = 16;

/// Runs `loops` compiled for the machine's vector unit (AVX2 and FMA where present), chosen at run time.
///
/// The closure has to be `#[inline(always)]`: outside of the function that switches the vector unit on, the same loops
/// are ten times slower.
#[inline]
pub(crate) fn vectorised<R>(loops: impl FnOnce() -> R) -> R {
    struct Loops<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Loops<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            self.0()
        }
    }
    pulp::Arch::new().dispatch(Loops(loops))
}

/// Returns e^x within 2 units in the last place for `-87 <= x <= 88`, and the value at the nearer bound outside.
///
/// Without branches, so that loops over it become vector code (Cephes' polynomial after range reduction by ln 2).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to the nearest whole number
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let p = 1.987_569_1e-4f32.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3).mul_add(r, 4.166_579_6e-2).mul_add(r, 0.166_666_65);
    let p = p.mul_add(r, 0.5).mul_add(r * r, r) + 1.0;
    // The lowest bits of `shifted` are `n`. A cast would do, but one that stops at the bounds of its type is no vector code.
    f32::from_bits(shifted.to_bits().wrapping_add(127) << 23) * p
}

/// Returns 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Returns tanh(x) within 4 units in the last place, by a quotient of polynomials without branches; 1 beyond 7.9.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let s = x * x;
    let p = (-2.760_768_5e-16f32).mul_add(s, 2.000_188e-13).mul_add(s, -8.604_672e-11);
    let p = p.mul_add(s, 5.122_297e-8).mul_add(s, 1.485_722_4e-5).mul_add(s, 6.372_619_3e-4);
    let p = x * p.mul_add(s, 4.893_524_6e-3);
    let q = 1.198_258_4e-6f32.mul_add(s, 1.185_347_1e-4).mul_add(s, 2.268_434_7e-3).mul_add(s, 4.893_525e-3);
    p / q
}

/// Replaces each `x` by `cap * tanh(x / cap)` (Gemma 2, arXiv 2408.00118, section 2).
#[inline(always)]
pub(crate) fn soft_cap(row: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    for x in row.iter_mut() {
        *x = cap * tanh(*x * inverse);
    }
}

/// Multiplies gradients by the slope of [`soft_cap`], given what it returned.
#[inline(always)]
pub(crate) fn soft_cap_back(gradient: &mut [f32], capped: &[f32], cap: f32) {
    let inverse = 1.0 / cap;
    for (g, x) in gradient.iter_mut().zip(capped) {
        let share = x * inverse;
        *g *= 1.0 - share * share;
    }
}

/// Returns the sum of squared distances from `centre`.
#[inline(always)]
pub(crate) fn squares_from(row: &[f32], centre: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let mut tail = 0.0;
    for x in chunks.remainder() {
        tail += (x - centre) * (x - centre);
    }
    for chunk in chunks {
        for lane in 0..LANES {
            let distance = chunk[lane] - centre;
            lanes[lane] = distance.mul_add(distance, lanes[lane]);
        }
    }
    fold(lanes) + tail
}

/// Returns the sum of products.
#[inline(always)]
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (left_chunks, right_chunks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let mut tail = 0.0;
    for (l, r) in left_chunks.remainder().iter().zip(right_chunks.remainder()) {
        tail += l * r;
    }
    for (l, r) in left_chunks.zip(right_chunks) {
        for lane in 0..LANES {
            lanes[lane] = l[lane].mul_add(r[lane], lanes[lane]);
        }
    }
    fold(lanes) + tail
}

/// Returns the sum.
#[inline(always)]
pub(crate) fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let mut tail = 0.0;
    for x in chunks.remainder() {
        tail += x;
    }
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    fold(lanes) + tail
}

/// Returns the largest number; negative infinity for none.
#[inline(always)]
pub(crate) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let mut top = f32::NEG_INFINITY;
    for x in chunks.remainder() {
        top = larger(top, *x);
    }
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    for lane in lanes {
        top = larger(top, lane);
    }
    top
}

/// Turns scores into probabilities in place.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32]) {
    let inverse = 1.0 / exp_shifted(row).1;
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

/// Replaces each `x` by e^(x - max) and returns the maximum and the sum.
#[inline(always)]
pub(crate) fn exp_shifted(row: &mut [f32]) -> (f32, f32) {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp(*x - top);
    }
    (top, sum(row))
}

/// Adds `scale * row` to `out`.
#[inline(always)]
pub(crate) fn add_scaled(out: &mut [f32], scale: f32, row: &[f32]) {
    for (o, x) in out.iter_mut().zip(row) {
        *o = x.mul_add(scale, *o);
    }
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    let mut half = [0f32; LANES / 2];
    for lane in 0..LANES / 2 {
        half[lane] = lanes[lane] + lanes[lane + LANES / 2];
    }
    ((half[0] + half[4]) + (half[1] + half[5])) + ((half[2] + half[6]) + (half[3] + half[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let relative = (f64::from(vectorised(
                #[inline(always)]
                || exp(x),
            )) - exact)
                .abs()
                / exact;
            assert!(relative < 2.0 * f64::from(f32::EPSILON), "{x}: {relative}");
        }
    }

    #[test]
    fn tanh_is_within_four_units_in_the_last_place() {
        for i in -100_000..100_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).tanh();
            let found = f64::from(vectorised(
                #[inline(always)]
                || tanh(x),
            ));
            assert!((found - exact).abs() <= 4.0 * f64::from(f32::EPSILON) * exact.abs(), "{x}: {found} {exact}");
        }
    }

    #[test]
    fn reductions_cover_their_tails() {
        for n in [0, 1, 15, 16, 17, 40] {
            let row: Vec<f32> = (0..n).map(|i| (i as f32 - 7.0) * 0.25).collect();
            let expected: f32 = row.iter().sum();
            assert_eq!(
                vectorised(
                    #[inline(always)]
                    || sum(&row)
                ),
                expected
            );
            assert_eq!(
                vectorised(
                    #[inline(always)]
                    || dot(&row, &row)
                ),
                row.iter().map(|x| x * x).sum::<f32>()
            );
            assert_eq!(
                vectorised(
                    #[inline(always)]
                    || max(&row)
                ),
                row.last().copied().unwrap_or(f32::NEG_INFINITY)
            );
        }
    }
}
